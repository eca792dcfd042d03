use libp2p::{
    PeerId,
    kad::{ProviderRecord, QueryId, store::RecordStore},
    swarm::ConnectionId,
};

use super::{
    Discovery, Driver, MAX_DIALS,
    dialling::{MAX_UNREACHABLE_FOR, UNREACHABLE},
};
use crate::{driver::tests::Slow, transport::MAX_ADDRESSES};

/// Providers that nobody has ever met, as somebody in the DHT names them.
fn named(driver: &mut Driver, key: crate::Key, count: usize) -> Vec<PeerId> {
    let peers: Vec<_> = (0..count).map(|_| PeerId::random()).collect();
    for peer in &peers {
        let address = "/ip4/192.0.2.1/tcp/1".parse().unwrap();
        let record = ProviderRecord::new(key.to_vec(), *peer, vec![address]);
        let store = driver.swarm.behaviour_mut().kad.store_mut();
        store.add_provider(record).unwrap();
    }
    peers
}

fn search(driver: &mut Driver, key: crate::Key) -> QueryId {
    driver.find_providers(key);
    let searches = &driver.discovery.searches;
    *searches.iter().find(|(_, it)| it.key == key).unwrap().0
}

#[tokio::test]
async fn one_who_makes_providers_up_does_not_end_a_search_nor_take_all_its_dials() {
    const MODEL: crate::Key = [3; 32];
    let mut node = Slow::start();
    let driver = &mut node.driver;
    let query = search(driver, MODEL);
    let made_up = named(driver, MODEL, 2 * MAX_DIALS);
    driver.providers_named(query, made_up.clone());
    assert!(!driver.discovery.searches[&query].is_over());
    let dialled = |driver: &Driver, peers: &[PeerId]| {
        let dialled = peers.iter().filter(|it| driver.discovery.is_dialling(**it));
        dialled.count()
    };
    assert_eq!(dialled(driver, &made_up), MAX_DIALS / 2);
    let honest = named(driver, MODEL, 3);
    driver.providers_named(query, honest.clone());
    assert_eq!(dialled(driver, &honest), 3);
    // Those that are found to be nowhere do not count the next time.
    for peer in &made_up {
        driver.discovery.leave_alone(*peer);
    }
    driver.discovery.searches.clear();
    let query = search(driver, MODEL);
    let (some, rest) = made_up.split_at(MAX_DIALS);
    for answer in [some, rest] {
        driver.providers_named(query, answer.to_vec());
        assert!(!driver.discovery.searches[&query].is_over());
    }
    // Whom nobody names anew is known.
    for _ in 0..2 {
        driver.providers_named(query, honest.clone());
    }
    assert!(!driver.discovery.searches[&query].is_over());
    driver.providers_named(query, honest);
    assert!(driver.discovery.searches[&query].is_over());
}

#[tokio::test]
async fn a_provider_is_not_dialled_at_thousands_of_addresses() {
    const MODEL: crate::Key = [3; 32];
    let mut node = Slow::start();
    let driver = &mut node.driver;
    let [peer] = named(driver, MODEL, 1)[..] else {
        panic!("one");
    };
    for port in 1..1000 {
        let address = format!("/ip4/192.0.2.2/tcp/{port}").parse().unwrap();
        driver.swarm.behaviour_mut().kad.add_address(&peer, address);
    }
    let (direct, relayed) = driver.addresses_of(MODEL, peer);
    assert_eq!((direct.len(), relayed.len()), (MAX_ADDRESSES, 0));
    assert_eq!(direct[0].to_string(), "/ip4/192.0.2.1/tcp/1");
}

#[tokio::test]
async fn who_is_found_nowhere_again_and_again_is_looked_for_less_often() {
    let mut node = Slow::start();
    let discovery = &mut node.driver.discovery;
    let peer = PeerId::random();
    let how_long = |discovery: &Discovery| discovery.unreachable[&peer].how_long;
    discovery.leave_alone(peer);
    discovery.leave_alone(peer);
    assert_eq!(how_long(discovery), UNREACHABLE, "it was not left alone");
    let mut waited = UNREACHABLE;
    for _ in 0..5 {
        let since = &mut discovery.unreachable.get_mut(&peer).unwrap().since;
        *since = since.checked_sub(waited).unwrap();
        discovery.leave_alone(peer);
        waited = (2 * waited).min(MAX_UNREACHABLE_FOR);
        assert_eq!(how_long(discovery), waited);
    }
    discovery.connected(ConnectionId::new_unchecked(0), peer);
    discovery.leave_alone(peer);
    assert_eq!(how_long(discovery), UNREACHABLE);
    discovery.is_back();
    assert!(discovery.unreachable.is_empty());
}
