//! Time and chance.

use super::window;

/// Milliseconds since the page was opened; never goes back.
pub(crate) fn now() -> f64 {
    window().performance().map_or(0.0, |clock| clock.now())
}

/// Milliseconds since 1970, as the device has it: for people, and never to decide by.
pub(crate) fn date() -> f64 {
    js_sys::Date::now()
}

/// Lets time go by.
pub(crate) async fn sleep(time: std::time::Duration) {
    let (sender, over) = futures_channel::oneshot::channel();
    leptos::prelude::set_timeout(
        move || {
            // Whoever waits may be gone.
            let _ = sender.send(());
        },
        time,
    );
    let _ = over.await;
}

/// A name that nothing else has.
pub(crate) fn name() -> String {
    let bytes = secret::<16>().unwrap_or_else(|| {
        let (a, b) = (seed().to_le_bytes(), seed().to_le_bytes());
        std::array::from_fn(|at| if at < 8 { a[at] } else { b[at - 8] })
    });
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
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
