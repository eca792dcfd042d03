//! What the page looks like. With `IAP2P_SCREENSHOTS=1` the pictures of `docs/screenshots` are taken again.

use std::{env, fs, path::PathBuf};

use anyhow::{Result, ensure};
use e2e::{Browser, Network, Screen, Visitor, WebServer};
use serde_json::json;

/// Bytes a second at which joining takes as long as a picture.
const CRAWL: u64 = 40_000;

pub(crate) fn every_screen_fits_a_phone_and_a_desktop_in_both_languages() -> Result<()> {
    let network = Network::start()?;
    let (proxy, address) = network.proxy()?;
    // A server that knows of no network.
    let nowhere = WebServer::start(&e2e::dist()?)?;
    let scratch = tempfile::tempdir()?;
    let kept = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../docs/screenshots");
    let folder = if env::var_os("IAP2P_SCREENSHOTS").is_some() {
        kept
    } else {
        scratch.path().to_owned()
    };
    for (language, question) in [
        ("en", "What is a fragment?"),
        ("fr", "Qu'est-ce qu'un fragment ?"),
    ] {
        for screen in [Screen::Phone, Screen::Desktop] {
            let shoot = |visitor: &Visitor, what: &str| {
                fits(visitor, what)?;
                is_for_everybody(visitor, what)?;
                visitor.screenshot(&folder.join(format!("{what}-{screen}-{language}.png")))?;
                narrow(visitor, screen, language, what)
            };
            Browser::with(|browser| {
                let visitor = Visitor::open(browser, "about:blank")?;
                visitor.emulate(screen, language)?;
                visitor.go(&format!("http://{}/", nowhere.address()))?;
                visitor.wait_for("no-swarm")?;
                shoot(&visitor, "no-network")?;
                visitor.go(&format!("{}&lend=3", network.link_by(&address)))?;
                visitor.wait_for("onboarding")?;
                ensure!(visitor.eval("document.documentElement.lang")? == language);
                shoot(&visitor, "onboarding")?;
                // So slowly that it is seen.
                proxy.slow_down(CRAWL);
                visitor.accept()?;
                visitor.wait_for("progress")?;
                shoot(&visitor, "joining")?;
                proxy.restore();
                visitor.wait_until_it_lends(3)?;
                // Before, there was nobody by whom it would have been quicker.
                let _worker = network.full_worker()?;
                let neighbour = Visitor::join(browser, &network.link(), 3)?;
                visitor.show()?;
                visitor.be_predictable(80)?;
                visitor.ask(question)?;
                visitor.answer()?;
                shoot(&visitor, "chat")?;
                visitor.eval("document.querySelector('[data-testid=route]').open = true")?;
                visitor.click("conversations-open")?;
                visitor.wait_for("conversation")?;
                shoot(&visitor, "conversations")?;
                visitor.click("conversations-open")?;
                visitor.click("nav-network")?;
                shoot(&visitor, "dashboard")?;
                visitor.eval("document.querySelector('[data-testid=map]').scrollIntoView({ block: 'center' })")?;
                shoot(&visitor, "map")?;
                visitor.click("nav-contribute")?;
                shoot(&visitor, "contribute")?;
                visitor.click("nav-share")?;
                shoot(&visitor, "share")?;
                visitor.click("nav-settings")?;
                shoot(&visitor, "settings")?;
                neighbour.into_page().close()
            })?;
        }
    }
    Ok(())
}

/// What reads pages for people who do not see them, or move a mouse, finds nothing that it could not tell: axe-core, in
/// the light and in the dark.
fn is_for_everybody(visitor: &Visitor, what: &str) -> Result<()> {
    const RULES: &str =
        "{ runOnly: ['wcag2a', 'wcag2aa', 'wcag21a', 'wcag21aa', 'wcag22aa', 'best-practice'] }";
    if visitor.eval("typeof axe")? != "object" {
        visitor.eval(&fs::read_to_string(e2e::axe()?)?)?;
    }
    for scheme in ["dark", "light"] {
        let media = json!({ "features": [{ "name": "prefers-color-scheme", "value": scheme }] });
        visitor.call("Emulation.setEmulatedMedia", media)?;
        // Until it is painted so, and every colour has become the other, elements have those of both.
        visitor.show()?;
        visitor.eval(&format!(
            "(async () => {{
                const frame = () => new Promise(requestAnimationFrame);
                do await frame(); while (!matchMedia('(prefers-color-scheme: {scheme})').matches);
                await frame();
                const changes = document.getAnimations().filter(it => it instanceof CSSTransition);
                await Promise.allSettled(changes.map(it => it.finished));
                await frame();
            }})()"
        ))?;
        let found = visitor.eval(&format!(
            "axe.run(document, {RULES}).then(({{ violations }}) => violations.map(
                ({{ id, nodes }}) => `${{id}}: ${{nodes.map(({{ html, failureSummary }}) => html + failureSummary).join(' ')}}`
            ))"
        ))?;
        ensure!(found == json!([]), "{what} in the {scheme}: {found:#}");
    }
    Ok(())
}

/// The same on the smallest screen.
fn narrow(visitor: &Visitor, screen: Screen, language: &str, what: &str) -> Result<()> {
    if screen == Screen::Phone {
        visitor.emulate(Screen::SmallPhone, language)?;
        fits(visitor, what)?;
        visitor.emulate(screen, language)?;
    }
    Ok(())
}

/// Nothing sticks out to the side, and no button is too small to be met by a finger.
fn fits(visitor: &Visitor, what: &str) -> Result<()> {
    let sizes = visitor.eval("[document.documentElement.scrollWidth, innerWidth]")?;
    ensure!(
        sizes[0].as_u64() <= sizes[1].as_u64(),
        "{what} is {} wide on a screen of {}",
        sizes[0],
        sizes[1]
    );
    let tiny = visitor.eval(
        "[...document.querySelectorAll('button')]
            .map(button => [button.innerText || button.ariaLabel, button.getBoundingClientRect()])
            .filter(([, { width, height }]) => width > 0 && (width < 24 || height < 24))
            .map(([name, { width, height }]) => `${name}: ${width} × ${height}`)",
    )?;
    ensure!(tiny == json!([]), "{what}: {tiny}");
    Ok(())
}
