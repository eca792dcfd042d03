//! What the other tests rest on: a harness that cannot fail proves nothing.

use anyhow::{Result, ensure};
use e2e::{Browser, Screen, data_channel};

pub(crate) fn a_page_can_be_driven_and_photographed() -> Result<()> {
    let folder = tempfile::tempdir()?;
    Browser::with(|browser| {
        let page = browser.open("data:text/html,<meta name=viewport content=width=device-width><input data-testid=field><p data-testid=echo>")?;
        page.emulate(Screen::Phone, "fr")?;
        page.eval("document.querySelector('input').oninput = e => document.querySelector('p').innerText = e.target.value")?;
        page.fill("field", "Qu'est-ce qu'un fragment ?")?;
        page.wait_until("document.querySelector('p').innerText.endsWith('?')")?;
        ensure!(page.text("echo")? == "Qu'est-ce qu'un fragment ?");
        ensure!(
            page.eval("navigator.language")? == "fr",
            "{}",
            page.eval("navigator.language")?
        );
        ensure!(page.eval("[innerWidth, devicePixelRatio]")? == serde_json::json!([390, 2]));
        let file = folder.path().join("page.png");
        page.screenshot(&file)?;
        ensure!(std::fs::read(file)?.starts_with(b"\x89PNG"));
        page.close()
    })
}

pub(crate) fn an_exception_nobody_caught_fails_the_test() -> Result<()> {
    fails(|browser| {
        let page = browser.open("about:blank")?;
        page.eval("setTimeout(() => { throw new Error('lost'); window.x = 1 }, 0); new Promise(r => setTimeout(r, 50))")?;
        Ok(())
    })
}

pub(crate) fn an_exception_in_a_worker_fails_the_test() -> Result<()> {
    fails(|browser| {
        let page = browser.open("about:blank")?;
        page.eval(
            "new Promise(done => {
                const code = 'setTimeout(() => { throw new Error(`lost`) }, 0); setTimeout(() => postMessage(1), 50)';
                const worker = new Worker(URL.createObjectURL(new Blob([code])));
                worker.onmessage = done;
            })",
        )?;
        Ok(())
    })
}

fn fails(test: impl FnOnce(&Browser) -> Result<()>) -> Result<()> {
    let error = Browser::with(test).err();
    ensure!(
        error
            .as_ref()
            .is_some_and(|error| error.to_string().contains("lost")),
        "{error:?}"
    );
    Ok(())
}

/// The namespace has what Chromium needs to offer an address: without it the tabs would only ever meet over a relay.
pub(crate) fn two_tabs_reach_each_other_directly() -> Result<()> {
    Browser::with(|browser| {
        let (a, b) = (browser.open("about:blank")?, browser.open("about:blank")?);
        data_channel::connect(&a, &b)?;
        a.eval("channel.onmessage = e => heard = e.data; 0")?;
        b.eval("channel.send('hello')")?;
        a.wait_until("window.heard === 'hello'")
    })
}
