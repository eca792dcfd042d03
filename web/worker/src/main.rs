//! The workers of the browser application.
use web_bridge::{messages::Ready, port::Port};
fn main() {
    console_error_panic_hook::set_once();
    if let Some(scope) = Port::scope() {
        let _ = scope.send(&Ready { simd: cfg!(target_feature = "simd128") });
    }
}
