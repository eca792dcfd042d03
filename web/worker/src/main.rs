//! The workers of the browser application, all one program: the *engine* decides (swarm, session, tokenizer, clocks),
//! the *compute* workers compute. Which of them a worker is, its first message says.
//!
//! None of them touches the network, which exists on the page only, and none shows anything.

mod compute;
mod engine;

use web_bridge::{
    messages::{Ready, Role},
    port::Port,
};

fn main() {
    console_error_panic_hook::set_once();
    let Some(scope) = Port::scope() else {
        web_sys::console::error_1(&"this program runs in a worker only".into());
        return;
    };
    scope.listen({
        let scope = scope.clone();
        move |message| match message.header {
            Role::Engine => {
                let compute = message.ports.into_iter().map(Port::Channel).collect();
                engine::start(scope.clone(), compute);
            }
            Role::Compute => {
                if let Some(port) = message.ports.into_iter().next() {
                    compute::start(Port::Channel(port));
                }
            }
        }
    });
    let ready = Ready {
        simd: cfg!(target_feature = "simd128"),
    };
    if let Err(error) = scope.send(&ready) {
        web_sys::console::error_1(&error.to_string().into());
    }
}
