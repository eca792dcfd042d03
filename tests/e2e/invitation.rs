//! Getting in: by a link, and by those one has met.

use anyhow::{Context, Result, ensure};
use e2e::{Audience, Browser, Network, Video, Visitor, WebServer};

use crate::answer::{QUESTION, same};

const MAX_TOKENS: u32 = 20;

pub(crate) fn a_page_finds_back_by_those_it_has_met_when_the_entry_is_gone() -> Result<()> {
    let network = Network::start()?;
    let worker = network.full_worker()?;
    let alone = network.alone(QUESTION, MAX_TOKENS)?;
    Browser::with(|browser| {
        let visitor = Visitor::join(browser, &network.link(), 1)?;
        visitor.meets(&worker.peer_id()?)?;
        visitor.wait_until("navigator.serviceWorker.controller !== null")?;
        network.entry.kill();
        // The page itself comes from the browser's own store.
        visitor.reload()?;
        visitor.meets(&worker.peer_id()?)?;
        visitor.be_predictable(MAX_TOKENS)?;
        visitor.ask(QUESTION)?;
        same(&visitor.answer()?, &alone)
    })
}

pub(crate) fn a_private_swarm_lets_in_who_has_the_whole_link() -> Result<()> {
    let network = Network::private()?;
    let worker = network.full_worker()?;
    let alone = network.alone(QUESTION, MAX_TOKENS)?;
    let link = network.link();
    let (without, _) = link.split_once("&secret=").unwrap_or_default();
    Browser::with(|browser| {
        let stranger = Visitor::open(browser, without)?;
        stranger.accept()?;
        stranger.wait_until(
            "document.querySelector('[data-testid=unreachable]')?.textContent.includes('/ip4/')",
        )?;
        drop(stranger);
        let visitor = Visitor::join(browser, &link, 1)?;
        visitor.meets(&worker.peer_id()?)?;
        visitor.be_predictable(MAX_TOKENS)?;
        visitor.ask(QUESTION)?;
        same(&visitor.answer()?, &alone)?;
        visitor.click("nav-share")?;
        visitor.wait_for("share-private")?;
        let shared = visitor.eval("document.querySelector('[data-testid=share-link]').value")?;
        ensure!(shared.as_str() == Some(&link), "{shared}");
        Ok(())
    })
}

pub(crate) fn an_invitation_is_read_by_the_camera() -> Result<()> {
    let network = Network::start()?;
    let worker = network.full_worker()?;
    // Somebody holds a telephone with the code before the camera.
    let video = Video::of_code(&network.link())?;
    // This page's server names no network.
    let server = WebServer::start(&e2e::dist()?)?;
    Browser::with_camera(&video, |browser| {
        let visitor = Audience::ALL[0].open(browser, &format!("http://{}/", server.address()))?;
        visitor.wait_for("no-swarm")?;
        visitor.click("scan")?;
        visitor
            .wait_for("onboarding")
            .context("the code is not read")?;
        visitor.accept()?;
        visitor.wait_until_it_lends(1)?;
        visitor.meets(&worker.peer_id()?)
    })
}
