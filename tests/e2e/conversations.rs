//! What was said is kept in the browser: found again, gone on with, named, saved and deleted; and said otherwise.

use std::fs;

use anyhow::{Context, Result, ensure};
use e2e::{Audience, Browser, Network, Visitor, until};
use serde_json::json;

use crate::answer::{QUESTION, same};

const OTHER: &str = "How do I join?";
const MAX_TOKENS: u32 = 40;

/// Opens the list of conversations and waits until it shows so many.
fn list(tab: &Visitor, count: usize) -> Result<()> {
    tab.click("conversations-open")?;
    shows(tab, count)
}

fn shows(tab: &Visitor, count: usize) -> Result<()> {
    tab.wait_until(&format!(
        "document.querySelectorAll('[data-testid=conversation]').length === {count}"
    ))
}

pub(crate) fn conversations_are_kept_found_and_gone_on_with() -> Result<()> {
    let network = Network::start()?;
    let _worker = network.full_worker()?;
    Audience::each(|browser, audience| {
        let tab = audience.join(browser, &network.link(), 1)?;
        tab.be_predictable(MAX_TOKENS)?;
        tab.ask(QUESTION)?;
        let first = tab.answer()?;
        tab.start_over()?;
        tab.ask(OTHER)?;
        tab.answer()?;
        list(&tab, 2)?;
        ensure!(
            tab.texts("conversation-open")?[1].starts_with(QUESTION),
            "the one changed last comes first"
        );

        // By what was answered, not only by its title.
        let word = first
            .text
            .split(' ')
            .find(|word| word.len() > 6 && !QUESTION.contains(word));
        tab.fill("conversation-search", word.context("no long word")?)?;
        shows(&tab, 1)?;
        tab.click("conversation-open")?;
        tab.wait_until("document.querySelector('[data-testid=conversations]') === null")?;
        ensure!(tab.text("typed")? == QUESTION);
        tab.ask(OTHER)?;
        until(
            "the answer to the second question of the first conversation",
            || {
                let said = tab.eval(
                    "JSON.parse(sessionStorage.getItem('iap2p.chat')).filter(m => m.ending).length",
                )?;
                Ok((said == 2).then_some(()))
            },
        )?;

        list(&tab, 2)?;
        tab.click("conversation-rename")?;
        tab.wait_for("conversation-title")?;
        tab.eval("document.querySelector('[data-testid=conversation-title]').select()")?;
        tab.fill("conversation-title", "Fragments")?;
        tab.click("conversation-named")?;
        tab.wait_until("document.querySelector('[data-testid=conversation-open] strong').textContent === 'Fragments'")?;

        // Another tab of the browser has the same list, and not the conversation that is open here.
        let other = audience.open(browser, &network.link())?;
        other.accept()?;
        list(&other, 2)?;
        ensure!(other.texts("conversation-open")?[0].starts_with("Fragments"));
        other.click("conversation-open")?;
        other.wait_for("conversation-taken")?;
        other.into_page().close()?;

        let folder = tempfile::tempdir()?;
        let download = json!({ "behavior": "allow", "downloadPath": folder.path() });
        browser.call("Browser.setDownloadBehavior", download)?;
        tab.show()?;
        tab.click("conversation-export")?;
        let file = folder.path().join("Fragments.md");
        let text = until("the conversation is saved as a file", || {
            Ok(fs::read_to_string(&file).ok())
        })?;
        ensure!(
            text.starts_with("# Fragments\n") && text.contains(first.text.trim()),
            "{text}"
        );

        tab.click("conversation-delete")?;
        tab.click("conversation-delete-sure")?;
        shows(&tab, 1)?;
        tab.reload()?;
        list(&tab, 1)?;
        ensure!(tab.texts("conversation-open")?[0].starts_with(OTHER));
        Ok(())
    })
}

pub(crate) fn an_answer_whose_tab_is_closed_is_gone_on_with_by_another() -> Result<()> {
    const LONG: u32 = 80;
    let network = Network::start()?;
    let _worker = network.full_worker()?;
    let alone = network.alone(QUESTION, LONG)?;
    Browser::with(|browser| {
        let tab = Visitor::join(browser, &network.link(), 1)?;
        tab.be_predictable(LONG)?;
        tab.ask(QUESTION)?;
        tab.begun()?;
        tab.into_page().close()?;
        let later = Visitor::open(browser, &network.link())?;
        later.accept()?;
        list(&later, 1)?;
        later.click("conversation-open")?;
        same(&later.answer()?, &alone)
    })
}

pub(crate) fn a_question_is_asked_otherwise_and_the_way_of_the_answer_is_told() -> Result<()> {
    let network = Network::start()?;
    let worker = network.full_worker()?;
    let alone = network.alone(QUESTION, MAX_TOKENS)?;
    Audience::each(|browser, audience| {
        let tab = audience.join(browser, &network.link(), 1)?;
        tab.be_predictable(MAX_TOKENS)?;
        tab.ask(OTHER)?;
        tab.answer()?;
        tab.click("message-edit")?;
        tab.wait_for("message-edited")?;
        tab.eval("document.querySelector('[data-testid=message-edited]').select()")?;
        tab.fill("message-edited", QUESTION)?;
        tab.click("message-save")?;
        same(&tab.answer()?, &alone)?;
        ensure!(tab.texts("typed")? == [QUESTION]);

        tab.wait_for("route")?;
        let hops = tab.eval(
            "[...document.querySelectorAll('[data-testid=hop]')].map(row => row.dataset.peer ?? '')",
        )?;
        ensure!(hops == json!(["", worker.peer_id()?]), "{hops}");
        Ok(())
    })
}

pub(crate) fn what_a_model_writes_is_shown_as_markdown_and_loads_nothing() -> Result<()> {
    let network = Network::start()?;
    let _worker = network.full_worker()?;
    Browser::with(|browser| {
        let tab = Visitor::join(browser, &network.link(), 1)?;
        tab.be_predictable(4)?;
        tab.ask(QUESTION)?;
        tab.answer()?;
        let text = "# Head\n\n1. one\n2. **two**\n\n```rust\nfn main() {}\n```\n\n|a|b|\n|-|-|\n|1|2|\n\n\
            <img src=x onerror=\"window.hacked = 1\"> ![p](http://127.0.0.1:1/p.png) [l](javascript:window.hacked=1)";
        // As if the model had said so.
        tab.eval(&format!(
            "{{
                const kept = JSON.parse(sessionStorage.getItem('iap2p.chat'));
                kept[1].text = {};
                sessionStorage.setItem('iap2p.chat', JSON.stringify(kept));
            }}",
            serde_json::to_string(text)?
        ))?;
        tab.reload()?;
        let inside =
            |what: &str| format!("document.querySelector('[data-testid=message-answer] {what}')");
        tab.wait_until(&format!("{} !== null", inside("pre code")))?;
        for (what, text) in [
            ("h4", "Head"),
            ("ol li:last-child strong", "two"),
            ("pre code", "fn main() {}"),
            ("figcaption span", "rust"),
            ("tbody td", "1"),
        ] {
            let said = tab.eval(&format!("{}.textContent", inside(what)))?;
            ensure!(said == text, "{what}: {said}");
        }
        ensure!(
            tab.eval(&format!(
                "{} === null && window.hacked === undefined",
                inside("img")
            ))? == true
        );
        let links = tab.eval(
            "[...document.querySelectorAll('[data-testid=message-answer] a')].map(a => a.href)",
        )?;
        ensure!(links == json!(["http://127.0.0.1:1/p.png"]), "{links}");

        let grant = json!({ "permissions": ["clipboardReadWrite", "clipboardSanitizedWrite"] });
        browser.call("Browser.grantPermissions", grant)?;
        tab.show()?;
        tab.click("copy-code")?;
        tab.wait_until("navigator.clipboard.readText().then(text => text === 'fn main() {}')")
    })
}
