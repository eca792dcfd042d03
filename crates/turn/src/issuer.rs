use std::time::{Duration, SystemTime, UNIX_EPOCH};

use base64::{Engine, prelude::BASE64_STANDARD};
use turn_server::codec::{
    crypto::{Password, hmac_sha1, static_auth_secret},
    message::attributes::PasswordAlgorithm,
};

/// What the server says it is responsible for; part of every password's digest.
pub(crate) const REALM: &str = "iap2p";

/// How long credentials can be used to begin with; what was begun goes on for as long as its client wants.
const LIFETIME: Duration = Duration::from_secs(3600);

/// Issues credentials that a server knows without keeping them: the name says until when they hold, the password proves
/// that it was issued (the scheme of
/// [draft-uberti-behave-turn-rest-00](https://datatracker.ietf.org/doc/html/draft-uberti-behave-turn-rest-00)).
#[derive(Clone)]
pub struct Issuer(String);

/// What a client shows.
#[derive(Clone, PartialEq, Eq)]
pub struct Credentials {
    /// Not secret.
    pub username: String,
    /// Secret.
    pub password: String,
    /// How long they hold from now on.
    pub lifetime: Duration,
}

impl Issuer {
    /// With a secret of its own: what another one has issued is not accepted.
    #[must_use]
    pub fn random() -> Self {
        Self(hex::encode(rand::random::<[u8; 32]>()))
    }

    /// Credentials for an hour.
    #[must_use]
    pub fn issue(&self, now: SystemTime) -> Credentials {
        let username = (seconds(now) + LIFETIME.as_secs()).to_string();
        let proof = hmac_sha1(self.0.as_bytes(), &[username.as_bytes()]);
        Credentials {
            username,
            password: BASE64_STANDARD.encode(proof),
            lifetime: LIFETIME,
        }
    }

    /// What whoever shows this name has to prove to know, unless it holds no more.
    pub(crate) fn expected(
        &self,
        username: &str,
        algorithm: PasswordAlgorithm,
        now: SystemTime,
    ) -> Option<Password> {
        let until: u64 = username.parse().ok()?;
        (until > seconds(now)).then(|| static_auth_secret(username, &self.0, REALM, algorithm))
    }
}

fn seconds(time: SystemTime) -> u64 {
    // A clock before 1970 is wrong, and 1970 as good as any other time.
    time.duration_since(UNIX_EPOCH)
        .map_or(0, |since| since.as_secs())
}

#[cfg(test)]
mod tests {
    use super::*;
    use turn_server::codec::crypto::generate_password;

    const MD5: PasswordAlgorithm = PasswordAlgorithm::Md5;

    #[test]
    fn what_was_issued_is_expected_until_it_expires() {
        let (issuer, now) = (Issuer::random(), SystemTime::now());
        let credentials = issuer.issue(now);
        let shown = generate_password(&credentials.username, &credentials.password, REALM, MD5);
        let expected = |after| issuer.expected(&credentials.username, MD5, now + after);
        assert_eq!(expected(Duration::ZERO), Some(shown));
        assert_eq!(expected(LIFETIME - Duration::from_secs(1)), Some(shown));
        assert_eq!(expected(LIFETIME), None);
        for name in ["", "never", "-1", "99999999999999999999"] {
            assert_eq!(issuer.expected(name, MD5, now), None);
        }
    }

    #[test]
    fn what_another_one_has_issued_proves_nothing() {
        let (issuer, now) = (Issuer::random(), SystemTime::now());
        let credentials = Issuer::random().issue(now);
        let shown = generate_password(&credentials.username, &credentials.password, REALM, MD5);
        assert_ne!(
            issuer.expected(&credentials.username, MD5, now),
            Some(shown)
        );
    }
}
