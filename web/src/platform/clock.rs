//! Time and chance.

use super::window;

/// Milliseconds since the page was opened; never goes back.
pub(crate) fn now() -> f64 {
    window().performance().map_or(0.0, |clock| clock.now())
}

/// A number nobody chose.
pub(crate) fn seed() -> u64 {
    // 53 bits, as many as a JavaScript number carries and serde hands over without a big integer.
    (js_sys::Math::random() * 9_007_199_254_740_992.0) as u64
}

/// Bytes that nobody guesses; nothing where the browser has none to give.
pub(crate) fn secret<const LENGTH: usize>() -> Option<[u8; LENGTH]> {
    let mut bytes = [0; LENGTH];
    let crypto = window().crypto().ok()?;
    crypto.get_random_values_with_u8_array(&mut bytes).ok()?;
    Some(bytes)
}
