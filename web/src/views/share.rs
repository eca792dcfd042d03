//! Inviting others: link, QR code, the device's share menu.

use leptos::prelude::*;
use qrcode::{QrCode, render::svg};

use crate::{
    components::{Glyph, Icon, Scanner},
    invite::Swarm,
    platform::{clipboard, net},
    state::ui,
};

#[component]
pub(crate) fn Share() -> impl IntoView {
    let ui = ui();
    let t = ui.t();
    let link = Memo::new(move |_| {
        ui.swarm
            .with(|swarm| swarm.as_ref().map(|swarm| swarm.link(&net::page())))
    });
    let private = Memo::new(move |_| {
        ui.swarm
            .with(|swarm| swarm.as_ref().is_some_and(|swarm| swarm.secret.is_some()))
    });
    view! {
        <section class="view view-share" aria-labelledby="share-title">
            <div class="view-head"><h2 id="share-title">{t.share_title}</h2></div>
            <p class="lead">{t.share_what}</p>
            {move || private.get().then(|| view! {
                <p class="notice" role="note" data-testid="share-private">{t.share_private}</p>
            })}
            {move || match link.get() {
                Some(link) => view! { <Invitation link/> }.into_any(),
                None => view! { <p class="quiet">{t.share_none}</p> }.into_any(),
            }}
            <div class="panel">
                <h3>{t.scan_title}</h3>
                <p class="quiet">{t.scan_what}</p>
                // Another fragment loads the page anew, with the other network.
                <Scanner found=move |swarm: Swarm, _| net::go(&swarm.link(&net::page()))/>
            </div>
        </section>
    }
}

#[component]
fn Invitation(link: String) -> impl IntoView {
    let t = ui().t();
    let copied = RwSignal::new(false);
    let copy = {
        let link = link.clone();
        move |_| {
            let link = link.clone();
            leptos::task::spawn_local(async move { copied.set(clipboard::copy(&link).await) });
        }
    };
    let send = {
        let link = link.clone();
        move |_| clipboard::share("Inference-IA-P2P", t.share_text, &link)
    };
    view! {
        <div class="panel invitation">
            <div class="field">
                <label for="link">{t.share_link_label}</label>
                <input id="link" type="text" readonly data-testid="share-link" value=link.clone()
                    on:focus:target=|event| event.target().select()/>
            </div>
            <div class="row">
                <button type="button" class="primary" data-testid="share-copy" on:click=copy>
                    <Icon glyph=Glyph::Copy/>
                    <span aria-live="polite">{move || if copied.get() { t.copied } else { t.copy }}</span>
                </button>
                {clipboard::can_share().then(|| view! {
                    <button type="button" data-testid="share-send" on:click=send><Icon glyph=Glyph::Share/>{t.share_send}</button>
                })}
            </div>
            {net::is_loopback().then(|| view! { <p class="quiet">{t.share_loopback}</p> })}
            {draw(&link).map(|svg| view! {
                <div class="qr" role="img" aria-label=t.share_qr data-testid="share-qr" inner_html=svg></div>
            })}
        </div>
    }
}

/// The QR code as SVG; links too long for one have none.
fn draw(link: &str) -> Option<String> {
    let code = QrCode::with_error_correction_level(link, qrcode::EcLevel::L).ok()?;
    // Always dark on light, whatever the theme: many cameras read nothing else.
    Some(
        code.render::<svg::Color<'_>>()
            .min_dimensions(240, 240)
            .quiet_zone(true)
            .build(),
    )
}
