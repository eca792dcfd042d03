use std::{
    collections::HashMap,
    net::{IpAddr, Ipv6Addr, SocketAddr},
    num::NonZeroU32,
};

use governor::{
    DefaultDirectRateLimiter, Quota, RateLimiter, clock::DefaultClock,
    state::keyed::HashMapStateStore,
};

/// How much a server does for others.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Clients at a time.
    pub clients: usize,
    /// The same of one address: a household, or an IPv6 network of 64 bits.
    pub clients_per_address: usize,
    /// Requests of one address each second, beyond which they are not answered.
    pub requests_per_second: NonZeroU32,
    /// Requests of unknown addresses each second, all together. Each is remembered for ten minutes, and anybody can invent
    /// as many as he likes.
    pub strangers_per_second: NonZeroU32,
    /// Bytes of one client that are handed on each second; what comes faster is lost, by which its sender slows down.
    pub client_bytes_per_second: NonZeroU32,
    /// The same of all clients together.
    pub bytes_per_second: NonZeroU32,
}

impl Limits {
    /// The usual ones, but for so many bytes a second altogether, and a quarter of that for one client.
    #[must_use]
    pub fn handing_on(bytes_per_second: NonZeroU32) -> Self {
        let quarter = NonZeroU32::new(bytes_per_second.get() / 4);
        Self {
            client_bytes_per_second: quarter.unwrap_or(NonZeroU32::MIN),
            bytes_per_second,
            ..Self::default()
        }
    }
}

/// For some hundred tabs, which are a client for each of their connections.
impl Default for Limits {
    fn default() -> Self {
        const fn number(of: u32) -> NonZeroU32 {
            NonZeroU32::new(of).expect("not zero")
        }
        Self {
            clients: 8192,
            clients_per_address: 512,
            requests_per_second: number(100),
            strangers_per_second: number(400),
            client_bytes_per_second: number(2 << 20),
            bytes_per_second: number(8 << 20),
        }
    }
}

type Keyed<K> = RateLimiter<K, HashMapStateStore<K>, DefaultClock>;

/// For so many seconds' worth of bytes one may be silent and send them then: questions and answers come in bursts.
const BURST: NonZeroU32 = NonZeroU32::new(4).expect("4 is not zero");

fn bytes(per_second: NonZeroU32) -> Quota {
    Quota::per_second(per_second).allow_burst(per_second.saturating_mul(BURST))
}

/// Addresses that are remembered at most for their requests. When there are more, somebody invents them.
const MAX_REMEMBERED: usize = 16_384;

/// Who has used how much.
pub(crate) struct Budgets {
    requests: Keyed<IpAddr>,
    strangers: DefaultDirectRateLimiter,
    clients: Keyed<SocketAddr>,
    all: DefaultDirectRateLimiter,
}

impl Budgets {
    pub(crate) fn new(limits: &Limits) -> Self {
        Self {
            requests: RateLimiter::hashmap(Quota::per_second(limits.requests_per_second)),
            strangers: RateLimiter::direct(Quota::per_second(limits.strangers_per_second)),
            clients: RateLimiter::hashmap(bytes(limits.client_bytes_per_second)),
            all: RateLimiter::direct(bytes(limits.bytes_per_second)),
        }
    }

    /// Whether one more request of this address is answered. `known`: it was answered before, not long ago.
    pub(crate) fn allow_request(&self, source: SocketAddr, known: bool) -> bool {
        let judged = known || self.requests.len() < MAX_REMEMBERED;
        if judged && self.requests.check_key(&place(source.ip())).is_err() {
            return false;
        }
        known || self.strangers.check().is_ok()
    }

    /// Whether so many bytes of this client are handed on.
    pub(crate) fn allow_bytes(&self, client: SocketAddr, bytes: usize) -> bool {
        let Some(bytes) = u32::try_from(bytes).ok().and_then(NonZeroU32::new) else {
            return true;
        };
        matches!(self.clients.check_key_n(&client, bytes), Ok(Ok(())))
            && matches!(self.all.check_n(bytes), Ok(Ok(())))
    }

    /// Forgets who has used nothing for a while.
    pub(crate) fn tidy(&self) {
        self.requests.retain_recent();
        self.clients.retain_recent();
    }
}

/// The clients of each address.
#[derive(Default)]
pub(crate) struct Census(HashMap<IpAddr, usize>);

impl Census {
    pub(crate) fn of(&self, ip: IpAddr) -> usize {
        self.0.get(&place(ip)).copied().unwrap_or(0)
    }

    pub(crate) fn all(&self) -> usize {
        self.0.values().sum()
    }

    pub(crate) fn add(&mut self, ip: IpAddr) {
        *self.0.entry(place(ip)).or_default() += 1;
    }

    pub(crate) fn remove(&mut self, ip: IpAddr) {
        let place = place(ip);
        if let Some(count) = self.0.get_mut(&place) {
            *count -= 1;
            if *count == 0 {
                self.0.remove(&place);
            }
        }
    }
}

/// What one household has: an IPv4 address, or an IPv6 network.
fn place(ip: IpAddr) -> IpAddr {
    match ip {
        IpAddr::V6(ip) => Ipv6Addr::from_bits(ip.to_bits() & (!0 << 64)).into(),
        IpAddr::V4(_) => ip,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn number(of: u32) -> NonZeroU32 {
        NonZeroU32::new(of).unwrap()
    }

    fn budgets() -> Budgets {
        Budgets::new(&Limits {
            requests_per_second: number(3),
            client_bytes_per_second: number(1000),
            bytes_per_second: number(1500),
            ..Limits::default()
        })
    }

    #[test]
    fn addresses_are_judged_one_by_one_and_a_household_as_one() {
        let budgets = budgets();
        let from = |text: &str| budgets.allow_request(text.parse().unwrap(), true);
        assert!(from("192.0.2.1:1") && from("192.0.2.1:2") && from("192.0.2.1:3"));
        assert!(!from("192.0.2.1:4"));
        assert!(from("192.0.2.2:1"));
        assert!(from("[2001:db8::1]:1") && from("[2001:db8::2]:1") && from("[2001:db8::3]:1"));
        assert!(!from("[2001:db8::4]:1"));
        assert!(from("[2001:db8:0:1::1]:1"));
    }

    #[test]
    fn addresses_that_somebody_invents_are_not_remembered_without_end() {
        let budgets = budgets();
        let allowed = (0..100_000_u32).filter(|i| {
            let ip = IpAddr::from(i.to_be_bytes());
            budgets.allow_request(SocketAddr::new(ip, 1), false)
        });
        assert!(allowed.count() < 10_000);
        assert!(budgets.requests.len() <= MAX_REMEMBERED);
        // Who is a client already does not suffer from it.
        assert!(budgets.allow_request("192.0.2.1:1".parse().unwrap(), true));
    }

    #[test]
    fn neither_one_client_nor_all_of_them_send_more_than_they_may() {
        let budgets = budgets();
        let send = |client: &str, bytes| budgets.allow_bytes(client.parse().unwrap(), bytes);
        assert!(send("192.0.2.1:1", 3900));
        assert!(!send("192.0.2.1:1", 900), "one has had its share");
        assert!(send("192.0.2.1:2", 1900));
        assert!(!send("192.0.2.1:3", 900), "all have had theirs");
        assert!(send("192.0.2.1:4", 0));
    }
}
