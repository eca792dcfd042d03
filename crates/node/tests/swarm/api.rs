//! A node in a network answers programs by what others compute.

use crate::common::Caller;
use crate::world::{LOCAL, QUESTION, World};
use serde_json::{Value, json};

#[test]
fn programs_that_ask_at_once_are_answered_by_the_network() {
    let world = World::new();
    let half = |it: u32| it.to_string();
    let list: Vec<_> = (0..world.fragments)
        .filter(|it| it % 2 == 0)
        .map(half)
        .collect();
    let mut arguments = vec![
        "serve",
        "--dir",
        world.folder.to_str().unwrap(),
        "--bootstrap",
        &world.address,
    ];
    let list = list.join(",");
    arguments.extend(["--hold", &list, "--api", "127.0.0.1:0"]);
    let mut node = world.lab.start(arguments.into_iter().chain(LOCAL));
    node.wait_until_ready();
    let _other = world.worker(|index| index % 2 == 1);
    let url = node.api();
    let expected = world.expected(&["--max-tokens", "24"]);
    let body = json!({
        "model": world.model, "messages": [{ "role": "user", "content": QUESTION }], "temperature": 0, "max_tokens": 24,
    });
    let texts: Vec<Value> = std::thread::scope(|scope| {
        let ask = || Caller::new(&url, None).ask("/chat/completions", &body).1;
        let asked: Vec<_> = (0..3).map(|_| scope.spawn(ask)).collect();
        asked.into_iter().map(|it| it.join().unwrap()).collect()
    });
    for told in texts {
        assert_eq!(
            told["choices"][0]["message"]["content"], expected["text"],
            "{told}"
        );
    }
}
