use super::*;

const HOUR: Duration = Duration::from_secs(3600);

fn key(number: u32) -> RecordKey {
    let mut name = [0; KEY_BYTES];
    name[..4].copy_from_slice(&number.to_be_bytes());
    RecordKey::new(&name)
}

fn record(number: u32, provider: PeerId, expires: Instant) -> ProviderRecord {
    ProviderRecord {
        key: key(number),
        provider,
        expires: Some(expires),
        addresses: vec!["/ip4/1.2.3.4/tcp/5".parse().unwrap()],
    }
}

fn store(limits: Limits) -> (Providers, Instant) {
    (Providers::new(PeerId::random(), limits), Instant::now())
}

#[test]
fn the_fragments_of_a_large_model_fit() {
    let (mut store, now) = store(Limits::default());
    let seed = PeerId::random();
    for number in 0..10_000 {
        store.add(record(number, seed, now + HOUR), now).unwrap();
    }
    let found = store.providers(&key(9_999));
    assert_eq!(found.len(), 1);
    assert_eq!((found[0].provider, found[0].addresses.len()), (seed, 1));
}

#[test]
fn one_stranger_cannot_fill_it_and_many_cannot_overfill_it() {
    let (mut store, now) = store(Limits {
        records: 100,
        records_per_provider: 40,
        providers_per_key: 3,
    });
    let strangers: Vec<_> = (0..20).map(|_| PeerId::random()).collect();
    let mut taken = |number, stranger| store.add(record(number, stranger, now + HOUR), now).is_ok();
    assert_eq!(
        (0..90)
            .filter(|number| taken(*number, strangers[0]))
            .count(),
        40
    );
    let others = strangers[1..]
        .iter()
        .map(|it| taken(7, *it))
        .filter(|taken| *taken);
    assert_eq!(others.count(), 2, "with the first one three of one key");
    let rest = (1000..2000).filter(|number| taken(*number, strangers[*number as usize % 20]));
    assert_eq!(rest.count(), 100 - 40 - 2);
    assert_eq!(store.records, 100);
    // Who is there may say so again.
    store.add(record(7, strangers[0], now + HOUR), now).unwrap();
    let all: usize = store.keys.values().map(Vec::len).sum();
    assert_eq!((store.records, all), (100, 100));
}

#[test]
fn those_who_are_gone_make_room_although_nobody_asks_for_them() {
    let (mut store, now) = store(Limits {
        records: 50,
        ..Limits::default()
    });
    let (old, new) = (PeerId::random(), PeerId::random());
    for number in 0..50 {
        store.add(record(number, old, now + HOUR), now).unwrap();
    }
    assert!(store.add(record(99, new, now + HOUR), now).is_err());
    let later = now + HOUR;
    store.add(record(99, new, later + HOUR), later).unwrap();
    assert_eq!(
        (store.records, store.keys.len(), store.providers.len()),
        (1, 1, 1)
    );
}

#[test]
fn what_this_node_announces_is_its_own_affair() {
    let (mut store, now) = store(Limits {
        records: 1,
        ..Limits::default()
    });
    let (local, other) = (store.local, PeerId::random());
    for number in 0..5 {
        store.add(record(number, local, now + HOUR), now).unwrap();
    }
    store.add(record(3, other, now + HOUR), now).unwrap();
    assert_eq!(store.provided().count(), 5);
    assert_eq!(store.providers(&key(3)).len(), 2);
    store.remove_provider(&key(3), &local);
    store.remove_provider(&key(3), &other);
    store.remove_provider(&key(3), &other);
    assert_eq!((store.provided().count(), store.records), (4, 0));
    assert!(store.providers(&key(3)).is_empty() && store.keys.is_empty());
}

#[test]
fn who_was_started_again_elsewhere_is_named_where_it_is_now() {
    let (mut store, now) = store(Limits::default());
    let (provider, stranger) = (PeerId::random(), PeerId::random());
    let address = |port: u16| -> Multiaddr { format!("/ip4/1.2.3.4/tcp/{port}").parse().unwrap() };
    store.add(record(1, provider, now + HOUR), now).unwrap();
    let addresses = |store: &Providers| store.providers(&key(1))[0].addresses.clone();
    store.listens(provider, [address(5), address(6)].into_iter());
    assert_eq!(addresses(&store), [address(5)], "it is where it was");
    store.listens(provider, [].into_iter());
    assert_eq!(addresses(&store), [address(5)]);
    store.listens(provider, [address(7)].into_iter());
    assert_eq!(addresses(&store), [address(7)]);
    store.listens(stranger, [address(8)].into_iter());
    assert_eq!(store.providers(&key(1)).len(), 1, "it serves nothing");
    // Who is connected need not have announced what it serves, and is named once.
    store.serves(stranger, Some(key(1)));
    store.serves(provider, Some(key(1)));
    let named = |store: &Providers, number| -> Vec<_> {
        let found = store.providers(&key(number)).into_iter();
        found.map(|it| (it.provider, it.addresses)).collect()
    };
    let [there, here] = [(provider, vec![address(7)]), (stranger, vec![address(8)])];
    assert_eq!(named(&store, 1), [there.clone(), here]);
    store.serves(stranger, Some(key(2)));
    assert_eq!((named(&store, 1).len(), named(&store, 2).len()), (1, 1));
    store.left(&stranger, now);
    assert_eq!((named(&store, 1), named(&store, 2)), (vec![there], vec![]));
}

#[test]
fn who_has_left_is_soon_not_named_any_more() {
    let (mut store, now) = store(Limits {
        records: 2,
        ..Limits::default()
    });
    let [server, contact] = [PeerId::random(), PeerId::random()];
    let address = "/ip4/1.2.3.4/tcp/5".parse::<Multiaddr>().unwrap();
    for provider in [server, contact] {
        store.add(record(1, provider, now + HOUR), now).unwrap();
        store.listens(provider, [address.clone()].into_iter());
    }
    let expires = |store: &Providers, peer: PeerId| {
        let found = store.providers(&key(1));
        let record = found.into_iter().find(|it| it.provider == peer);
        record.and_then(|it| it.expires).unwrap()
    };
    store.serves(server, Some(key(1)));
    store.left(&server, now);
    store.left(&contact, now);
    assert_eq!(expires(&store, server), now + AWAY);
    assert_eq!(
        expires(&store, contact),
        now + HOUR,
        "it was asked, and parted"
    );
    // Back again, or there for others.
    store.listens(server, [address.clone()].into_iter());
    assert_eq!(expires(&store, server), now + HOUR);
    store.serves(server, Some(key(1)));
    store.left(&server, now);
    store.add(record(1, server, now + HOUR), now).unwrap();
    assert_eq!(expires(&store, server), now + HOUR);
    // Gone for good, it makes room.
    store.serves(server, Some(key(1)));
    store.left(&server, now);
    let new = record(1, PeerId::random(), now + HOUR);
    assert!(store.add(new.clone(), now + AWAY / 2).is_err());
    store.add(new, now + AWAY).unwrap();
    let named = store.providers(&key(1)).into_iter();
    assert!(!named.map(|it| it.provider).any(|it| it == server));
}

#[test]
fn only_names_as_long_as_ours_are_remembered() {
    let (mut store, now) = store(Limits::default());
    for length in [0, KEY_BYTES - 1, KEY_BYTES + 1, 512 << 10] {
        let mut record = record(1, PeerId::random(), now + HOUR);
        record.key = RecordKey::new(&vec![1; length]);
        assert!(store.add(record, now).is_err(), "{length}");
    }
    assert_eq!((store.records, store.keys.len()), (0, 0));
    assert!(store.providers.is_empty());
}

#[test]
fn a_provider_does_not_make_others_keep_endless_addresses() {
    let (mut store, now) = store(Limits::default());
    let provider = PeerId::random();
    let mut record = record(1, provider, now + HOUR);
    record.addresses = (0..5000)
        .map(|port| {
            format!("/dns/{}.example/tcp/{port}", "a".repeat(50))
                .parse()
                .unwrap()
        })
        .collect();
    store.add(record, now).unwrap();
    assert_eq!(store.providers(&key(1))[0].addresses.len(), MAX_ADDRESSES);
}
