//! What strangers write into their first packet.

use proptest::prelude::*;
use webrtc::core::direct::{Greeting, server_credentials};

proptest! {
    #[test]
    fn whatever_is_read_is_made_of_harmless_letters(username in "(libp2p\\+webrtc\\+v[12]/)?.{0,60}:.{0,60}") {
        if let Some(greeting) = Greeting::parse(&username) {
            for credentials in [greeting.server, greeting.client] {
                for text in [credentials.fragment, credentials.password] {
                    prop_assert!(text.len() <= 256);
                    prop_assert!(text.bytes().all(|it| it.is_ascii_alphanumeric() || b"+/".contains(&it)));
                }
            }
        }
    }

    #[test]
    fn a_client_of_the_second_version_is_understood(
        password in "[a-zA-Z0-9+/]{22,200}",
        fragment in "[a-zA-Z0-9+/]{4,200}",
    ) {
        let server = server_credentials(&password).unwrap();
        let greeting = Greeting::parse(&format!("{}:{fragment}", server.fragment)).unwrap();
        prop_assert_eq!(greeting.server, server);
        prop_assert_eq!(greeting.client.fragment, fragment);
        prop_assert_eq!(greeting.client.password, password);
    }
}
