//! Reading an invitation's QR code with the camera.

use std::time::Duration;

use leptos::{html, leptos_dom::helpers::IntervalHandle, prelude::*, task::spawn_local};

use super::{Glyph, Icon};
use crate::{
    invite::{Invite, Swarm},
    platform::camera::{self, Camera},
    state::ui,
};

/// How often a picture is looked at. It is done here because only the page has the camera's pictures; it takes some
/// milliseconds, and nothing else happens meanwhile.
const LOOK: Duration = Duration::from_millis(250);

/// A button that opens the camera, and what the camera sees until an invitation is among it. Nothing where there can be no
/// camera.
#[component]
pub(crate) fn Scanner(
    found: impl Fn(Swarm, Option<u32>) + Copy + Send + Sync + 'static,
) -> impl IntoView {
    let t = ui().t();
    let open = RwSignal::new(false);
    let words = RwSignal::new(None::<String>);
    camera::is_possible().then(|| {
        view! {
            <button type="button" data-testid="scan" aria-expanded=move || open.get().to_string()
                on:click=move |_| { words.set(None); open.update(|open| *open = !*open); }>
                <Icon glyph=Glyph::Scan/>{move || if open.get() { t.scan_stop } else { t.scan }}
            </button>
            {move || open.get().then(|| view! { <Viewfinder open words found/> })}
            <p class="error" role="alert" data-testid="scan-problem">{words}</p>
        }
    })
}

#[component]
fn Viewfinder(
    open: RwSignal<bool>,
    words: RwSignal<Option<String>>,
    found: impl Fn(Swarm, Option<u32>) + Copy + Send + Sync + 'static,
) -> impl IntoView {
    let t = ui().t();
    let video = NodeRef::<html::Video>::new();
    let running = StoredValue::new_local(None::<(Camera, IntervalHandle)>);
    let stop = move || {
        if let Some((_, looking)) = running.try_update_value(Option::take).flatten() {
            looking.clear();
        }
    };
    let look = move || {
        let picture = running
            .try_with_value(|it| it.as_ref().and_then(|(camera, _)| camera.look()))
            .flatten();
        let Some(text) = picture.and_then(|picture| picture.code()) else {
            return;
        };
        let invite = Invite::parse(&text);
        match invite.swarm {
            Some(swarm) => {
                stop();
                open.set(false);
                found(swarm, invite.lend);
            }
            None => words.set(Some(t.scan_other.to_owned())),
        }
    };
    Effect::new(move || {
        let Some(video) = video.get() else { return };
        spawn_local(async move {
            match Camera::start(video).await {
                // It may have been closed while the user was asked.
                Ok(camera) if open.get_untracked() => {
                    if let Ok(looking) = set_interval_with_handle(look, LOOK) {
                        running.set_value(Some((camera, looking)));
                    }
                }
                Ok(_) => {}
                Err(_) => {
                    words.set(Some(t.scan_refused.to_owned()));
                    open.set(false);
                }
            }
        });
    });
    on_cleanup(stop);
    view! { <video node_ref=video class="viewfinder" muted playsinline aria-label=t.scan_view data-testid="viewfinder"></video> }
}
