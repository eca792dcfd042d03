//! Somebody who uses the page: what a person does and sees, by the test ids of the elements.

use std::{collections::BTreeSet, ops::Deref};

use anyhow::{Context, Result, ensure};
use serde::Deserialize;

use crate::{Answer, Browser, Page, Screen, until};

/// A tab with the application in it.
pub struct Visitor(Page);

impl Deref for Visitor {
    type Target = Page;

    fn deref(&self) -> &Page {
        &self.0
    }
}

/// A peer as the dashboard shows it.
#[derive(Debug, Deserialize)]
pub struct PeerRow {
    /// Its id.
    pub peer: String,
    /// Through a relay only.
    pub relayed: bool,
    /// What carries the connection.
    pub transport: Option<String>,
    /// Requests of this tab that it answered.
    pub answered: u64,
}

/// An answer as the page keeps it.
#[derive(Debug, Deserialize)]
pub struct Said {
    /// The whole text, once it has ended.
    pub text: String,
    /// How it ended, once it has.
    pub ending: Option<Ending>,
}

impl Said {
    /// Checks that it is what one process alone answers.
    ///
    /// # Errors
    /// If it is not, or has not ended.
    pub fn same_as(&self, alone: &Answer) -> Result<()> {
        let tokens = self.ending.as_ref().context("not ended")?.tokens as usize;
        ensure!(
            self.text.trim() == alone.text.trim(),
            "the network says {:?}, one process {:?}",
            self.text,
            alone.text
        );
        ensure!(
            tokens == alone.tokens.len(),
            "{tokens} tokens instead of {}",
            alone.tokens.len()
        );
        Ok(())
    }
}

/// How an answer ended.
#[derive(Debug, Deserialize)]
pub struct Ending {
    /// Its length in tokens.
    pub tokens: u32,
    /// Those of them that were said before the page was loaded anew.
    pub before: u32,
    /// Another device has finished it.
    pub elsewhere: bool,
    /// Parts it was computed from.
    pub parts: u64,
    /// Those of them that are approximate.
    pub approximate: u64,
}

/// Who uses the page, and through what.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Audience {
    /// Through this.
    pub screen: Screen,
    /// Preferring this language.
    pub language: &'static str,
}

impl Audience {
    /// Journeys are made by each of them.
    pub const ALL: [Self; 2] = [
        Self {
            screen: Screen::Phone,
            language: "fr",
        },
        Self {
            screen: Screen::Desktop,
            language: "en",
        },
    ];

    /// Has each of them make a journey, in a browser of their own.
    pub fn each(journey: impl Fn(&Browser, Self) -> Result<()>) -> Result<()> {
        Self::ALL.into_iter().try_for_each(|audience| {
            let made = Browser::with(|browser| journey(browser, audience));
            made.with_context(|| format!("{audience:?}"))
        })
    }

    /// Opens a link in a new tab.
    pub fn open(self, browser: &Browser, link: &str) -> Result<Visitor> {
        let visitor = Visitor::open(browser, "about:blank")?;
        visitor.emulate(self.screen, self.language)?;
        visitor.go(link)?;
        Ok(visitor)
    }

    /// Opens an invitation, joins the network and waits until that many fragments are lent.
    pub fn join(self, browser: &Browser, link: &str, lend: u32) -> Result<Visitor> {
        let visitor = self.open(browser, &format!("{link}&lend={lend}"))?;
        visitor.accept()?;
        visitor.wait_until_it_lends(lend)?;
        Ok(visitor)
    }
}

impl Visitor {
    /// Opens a link in a new tab.
    pub fn open(browser: &Browser, link: &str) -> Result<Self> {
        Ok(Self(browser.open(link)?))
    }

    /// Opens an invitation, joins the network and waits until that many fragments are lent.
    pub fn join(browser: &Browser, link: &str, lend: u32) -> Result<Self> {
        let visitor = Self::open(browser, &format!("{link}&lend={lend}"))?;
        visitor.accept()?;
        visitor.wait_until_it_lends(lend)?;
        Ok(visitor)
    }

    /// Joins, unless this browser has joined before.
    pub fn accept(&self) -> Result<()> {
        let screen = until("the page knows what to show", || {
            let screen =
                self.eval("document.querySelector('[data-testid=app]')?.dataset.screen")?;
            Ok(screen
                .as_str()
                .filter(|screen| *screen != "looking")
                .map(str::to_owned))
        })?;
        if screen == "welcome" {
            self.click("onboarding-join")
        } else {
            Ok(())
        }
    }

    /// Waits until that many fragments are here and lent.
    pub fn wait_until_it_lends(&self, fragments: u32) -> Result<()> {
        self.wait_until(&format!(
            "document.querySelector('[data-testid=app]')?.dataset.screen === 'main'
             && document.querySelectorAll('[data-testid=held-row]').length >= {fragments}"
        ))
    }

    /// Has the likeliest token taken every time, and answers of that length at most.
    pub fn be_predictable(&self, max_tokens: u32) -> Result<()> {
        self.click("nav-settings")?;
        self.wait_for("greedy")?;
        self.eval(
            "(box => box.checked || box.click())(document.querySelector('[data-testid=greedy]'))",
        )?;
        self.change("max-tokens", max_tokens)?;
        self.click("nav-chat")
    }

    /// Lends so many fragments from now on.
    pub fn lend(&self, fragments: u32) -> Result<()> {
        self.click("nav-contribute")?;
        self.change("settings-lend", fragments)?;
        self.click("nav-chat")
    }

    /// Computes on so many cores from now on.
    pub fn employ(&self, cores: u32) -> Result<()> {
        self.click("nav-contribute")?;
        self.change("settings-cores", cores)?;
        self.click("nav-chat")
    }

    /// Has answers from graphics processors taken, too.
    pub fn allow_approximate(&self) -> Result<()> {
        self.click("nav-settings")?;
        self.click("approximate")?;
        self.click("nav-chat")
    }

    /// Has this tab's graphics processor compute whatever it can, quicker or not, and lends that many fragments again.
    pub fn force_graphics(&self, lend: u32) -> Result<()> {
        self.eval(
            "{
                const kept = JSON.parse(localStorage.getItem('iap2p.settings'));
                localStorage.setItem('iap2p.settings', JSON.stringify({ ...kept, graphics: 'Always' }));
            }",
        )?;
        self.reload()?;
        self.wait_until_it_lends(lend)
    }

    /// Leaves the conversation for a new one.
    pub fn start_over(&self) -> Result<()> {
        self.click("chat-new")
    }

    /// Puts a number into a field and leaves it.
    fn change(&self, id: &str, value: u32) -> Result<()> {
        self.wait_for(id)?;
        self.eval(&format!(
            "{{
                const field = document.querySelector('[data-testid={id}]');
                field.value = {value};
                field.dispatchEvent(new Event('input', {{ bubbles: true }}));
                field.dispatchEvent(new Event('change', {{ bubbles: true }}));
            }}"
        ))?;
        Ok(())
    }

    /// Types a question and sends it.
    pub fn ask(&self, question: &str) -> Result<()> {
        self.fill("chat-input", question)?;
        self.click("chat-send")
    }

    /// The last answer as the page keeps it; the page does so when it has ended.
    pub fn said(&self) -> Result<Option<Said>> {
        let kept = self.eval("JSON.parse(sessionStorage.getItem('iap2p.chat') ?? '[]').filter(m => m.speaker === 'Assistant').at(-1) ?? null")?;
        Ok(serde_json::from_value(kept)?)
    }

    /// Waits for the end of the answer.
    pub fn answer(&self) -> Result<Said> {
        let ended = || Ok(self.said()?.filter(|said| said.ending.is_some()));
        until("the answer has ended", ended)
            .with_context(|| format!("so far: {:?}", self.text("message-answer")))
    }

    /// Waits until the answer under way has begun, and says with what.
    pub fn begun(&self) -> Result<String> {
        let begun = until("the answer has begun", || {
            let text = self.text("message-answer")?;
            Ok((text.len() > 20).then_some(text))
        })?;
        ensure!(self.is_answering()?, "the answer was over at once");
        Ok(begun)
    }

    /// Has another device finish the answer, and waits until one does.
    pub fn give_away(&self) -> Result<()> {
        self.wait_for("give-away")?;
        self.click("give-away")?;
        self.wait_until(
            "document.querySelector('[data-testid=elsewhere]')?.dataset.taken === 'true'",
        )
    }

    /// Whether an answer is on its way.
    pub fn is_answering(&self) -> Result<bool> {
        Ok(self.eval("document.querySelector('[data-testid=chat-stop]') !== null")? == true)
    }

    /// The fragments this tab lends.
    pub fn lends(&self) -> Result<BTreeSet<u32>> {
        let indices = self.eval("[...document.querySelectorAll('[data-testid=held-row]')].map(row => Number(row.dataset.index))")?;
        Ok(serde_json::from_value(indices)?)
    }

    /// The peers on the dashboard.
    pub fn peers(&self) -> Result<Vec<PeerRow>> {
        let rows = self.eval(
            "[...document.querySelectorAll('[data-testid=peer-row]')].map(({ dataset }) => ({
                peer: dataset.peer, relayed: dataset.relayed === 'true',
                transport: dataset.transport ?? null, answered: Number(dataset.answered),
            }))",
        )?;
        Ok(serde_json::from_value(rows)?)
    }

    /// Waits until this peer is on the dashboard.
    pub fn meets(&self, peer: &str) -> Result<()> {
        until(&format!("the page shows the peer {peer}"), || {
            Ok(self
                .peers()?
                .iter()
                .any(|row| row.peer == peer)
                .then_some(()))
        })
        .with_context(|| format!("it shows {:?}", self.peers()))
    }

    /// The tab's own name in the network.
    pub fn peer_id(&self) -> Result<String> {
        let id = self.eval("document.querySelector('[data-testid=peer-id]')?.textContent")?;
        Ok(id
            .as_str()
            .context("the page does not know its own id")?
            .to_owned())
    }

    /// The tab itself.
    #[must_use]
    pub fn into_page(self) -> Page {
        self.0
    }
}
