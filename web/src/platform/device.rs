//! What the device says of itself: battery, kind of connection, time of day; and keeping it awake.

use std::{cell::RefCell, rc::Rc};

use js_sys::{Date, Function, Promise, Reflect};
use wasm_bindgen::{JsCast, JsValue, prelude::Closure};
use wasm_bindgen_futures::{JsFuture, spawn_local};
use web_sys::AudioContext;

use super::{document, window};

/// The hour of the day where the device is.
pub(crate) fn hour() -> u8 {
    Date::new_0().get_hours() as u8
}

/// Today where the device is, as `2026-11-30`.
pub(crate) fn today() -> String {
    let now = Date::new_0();
    let (year, month, day) = (now.get_full_year(), now.get_month() + 1, now.get_date());
    format!("{year:04}-{month:02}-{day:02}")
}

/// Whether nobody sees the page.
pub(crate) fn hidden() -> bool {
    document().hidden()
}

/// Calls back whenever the page is hidden or seen again.
pub(crate) fn on_visibility(mut changed: impl FnMut(bool) + 'static) {
    let listener = Closure::<dyn FnMut()>::new(move || changed(hidden()));
    // Listening to an event that exists cannot fail.
    let _ = document()
        .add_event_listener_with_callback("visibilitychange", listener.as_ref().unchecked_ref());
    listener.forget();
}

/// Calls back with whether the battery is being charged, now and whenever that changes, where the browser says so.
pub(crate) fn on_battery(charging: impl Fn(bool) + 'static) {
    let Some(promise) = call(&window().navigator(), "getBattery") else {
        return;
    };
    spawn_local(async move {
        let Ok(battery) = JsFuture::from(Promise::from(promise)).await else {
            return;
        };
        let source = battery.clone();
        let tell = move || {
            let is = Reflect::get(&source, &"charging".into());
            charging(is.is_ok_and(|is| is.is_truthy()));
        };
        tell();
        listen(&battery, "chargingchange", tell);
    });
}

/// Calls back with whether data has a price, now and whenever that changes, where the browser says so.
pub(crate) fn on_metered(metered: impl Fn(bool) + 'static) {
    let Ok(connection) = Reflect::get(&window().navigator(), &"connection".into()) else {
        return;
    };
    if !connection.is_object() {
        return;
    }
    let source = connection.clone();
    let tell = move || {
        let kind = Reflect::get(&source, &"type".into())
            .ok()
            .and_then(|it| it.as_string());
        let saves = Reflect::get(&source, &"saveData".into()).is_ok_and(|it| it.is_truthy());
        // Computers do not say by what they are connected, telephones do.
        metered(saves || kind.as_deref() == Some("cellular"));
    };
    tell();
    listen(&connection, "change", tell);
}

fn listen(target: &JsValue, event: &str, heard: impl FnMut() + 'static) {
    let listener = Closure::<dyn FnMut()>::new(heard);
    if let Some(listen) = method(target, "addEventListener") {
        // Listening to an event that exists cannot fail.
        let _ = listen.call2(target, &event.into(), listener.as_ref());
    }
    listener.forget();
}

fn method(object: &JsValue, name: &str) -> Option<Function> {
    Reflect::get(object, &name.into()).ok()?.dyn_into().ok()
}

fn call(object: &JsValue, name: &str) -> Option<JsValue> {
    method(object, name)?.call0(object).ok()
}

/// Whether the screen can be kept on.
pub(crate) fn can_stay_awake() -> bool {
    Reflect::has(&window().navigator(), &"wakeLock".into()).unwrap_or(false)
}

/// Keeps the screen on while the page is seen, until this is dropped or the page hidden.
pub(crate) struct Awake(JsValue);

impl Awake {
    /// Nothing where the browser does not let it, as on a low battery.
    pub(crate) async fn take() -> Option<Self> {
        let lock = Reflect::get(&window().navigator(), &"wakeLock".into()).ok()?;
        let request = method(&lock, "request")?
            .call1(&lock, &"screen".into())
            .ok()?;
        JsFuture::from(Promise::from(request)).await.ok().map(Self)
    }
}

impl Drop for Awake {
    fn drop(&mut self) {
        // The browser may have let go of it before.
        let _ = call(&self.0, "release");
    }
}

/// A tone that nobody hears, for browsers that slow hidden pages down unless they sound.
#[derive(Clone)]
pub(crate) struct Tone(Rc<RefCell<Option<AudioContext>>>);

impl Tone {
    const HERTZ: f32 = 40.0;
    /// Not nothing, which browsers would notice.
    const LOUDNESS: f32 = 0.001;

    pub(crate) fn new() -> Self {
        Self(Rc::default())
    }

    /// Sounds from now on, or does not. Must be called from a click: browsers want one.
    pub(crate) fn sound(&self, on: bool) {
        let playing = self.0.borrow_mut().take();
        if let Some(context) = playing {
            // One that is closed already is no error.
            let _ = context.close();
        }
        if on {
            self.0.replace(Self::start().ok());
        }
    }

    fn start() -> Result<AudioContext, JsValue> {
        let context = AudioContext::new()?;
        let (tone, loudness) = (context.create_oscillator()?, context.create_gain()?);
        tone.frequency().set_value(Self::HERTZ);
        loudness.gain().set_value(Self::LOUDNESS);
        tone.connect_with_audio_node(&loudness)?;
        loudness.connect_with_audio_node(&context.destination())?;
        tone.start()?;
        // If it was not a click after all, the browser lets it sound after the next one.
        let _ = context.resume()?;
        Ok(context)
    }
}

/// What a page needs of a browser.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Abilities {
    /// The quicker instructions for products; without the others this program would not run.
    pub(crate) relaxed_simd: bool,
    pub(crate) graphics: bool,
    pub(crate) storage: bool,
    pub(crate) webrtc: bool,
    /// Came by TLS or from this machine: without that browsers withhold storage and more.
    pub(crate) secure: bool,
}

/// Looks what there is.
pub(crate) fn abilities(relaxed_simd: bool) -> Abilities {
    let has = |object: &JsValue, name: &str| {
        Reflect::get(object, &name.into()).is_ok_and(|it| !it.is_undefined() && !it.is_null())
    };
    let window = window();
    Abilities {
        relaxed_simd,
        graphics: has(&window.navigator(), "gpu"),
        storage: has(&window, "indexedDB"),
        webrtc: has(&window, "RTCPeerConnection"),
        secure: window.is_secure_context(),
    }
}
