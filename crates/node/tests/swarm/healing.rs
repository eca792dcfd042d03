//! What a node held that is gone is taken up by others.

use crate::common::{Node, PATIENCE, demo_model};
use crate::world::World;
use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::time::{Duration, Instant};

/// The names of the fragments in a folder.
fn files(store: &Path) -> BTreeSet<String> {
    let files = fs::read_dir(store).unwrap();
    let names = files.map(|file| file.unwrap().file_name().into_string().unwrap());
    names.filter(|name| name.ends_with(".fragment")).collect()
}

#[test]
fn what_a_node_held_that_is_gone_is_taken_up_instead_of_what_others_hold() {
    // A handful of fragments.
    let world = World::of(|lab| lab.cut(&demo_model(), "1000000"));
    let half = world.fragments.div_ceil(2).to_string();
    let start = |store: &Path| -> Node {
        let mut node = world.lab.start([
            "serve",
            "--model",
            &world.model,
            "--store",
            store.to_str().unwrap(),
            "--count",
            &half,
            "--replicas",
            "1",
            "--heartbeat",
            "5",
            "--bootstrap",
            &world.address,
            "--listen",
            "/ip4/127.0.0.1/tcp/0",
        ]);
        node.wait_until_ready();
        node
    };
    let stores = ["one", "two", "three"].map(|name| world.lab.path(name));
    let [mut one, mut two, mut three] = stores.each_ref().map(|store| start(store));
    assert_eq!(files(&stores[0]).len().to_string(), half);
    // Together the first two hold everything, so that the third holds what one of them does.
    one.kill();
    let end = Instant::now() + PATIENCE;
    let all = files(&world.folder);
    loop {
        let [_, by_two, by_three] = stores.each_ref().map(|store| files(store));
        let whole: BTreeSet<_> = by_two.union(&by_three).cloned().collect();
        let room: usize = half.parse().unwrap();
        if whole == all && by_two.len() <= room && by_three.len() <= room {
            break;
        }
        assert!(
            Instant::now() < end,
            "two holds {by_two:?}, three {by_three:?}"
        );
        std::thread::sleep(Duration::from_millis(100));
    }
    let told = world.generate(&[]);
    assert_eq!(told["tokens"], world.expected(&[])["tokens"]);
    assert_eq!((two.stop(), three.stop()), (Some(0), Some(0)));
}
