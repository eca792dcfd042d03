//! A compute worker of the browser application: computes on fragments, and nothing else. There is one for each core, and
//! one build of it for each set of SIMD instructions, of which the page chooses.

mod adapter;
mod graphics;
mod memory;
mod products;
mod worker;

use web_bridge::{
    messages::{Ready, Serve},
    port::Port,
};

fn main() {
    console_error_panic_hook::set_once();
    let Some(page) = Port::scope() else {
        web_sys::console::error_1(&"this program runs in a worker only".into());
        return;
    };
    page.listen(|message| {
        let Serve = message.header;
        message
            .ports
            .into_iter()
            .for_each(|port| worker::start(Port::Channel(port)));
    });
    if let Err(error) = page.send(&Ready) {
        web_sys::console::error_1(&error.to_string().into());
    }
}
