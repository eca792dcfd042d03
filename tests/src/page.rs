//! One tab.

use std::{fmt, fs, path::Path, sync::Arc};

use anyhow::{Context, Result, bail};
use base64::prelude::*;
use serde_json::{Value, json};

use crate::{pipe::Pipe, until};

/// One tab of a browser.
pub struct Page {
    pipe: Arc<Pipe>,
    session: String,
    target: Value,
}

/// What somebody looks at a page through.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Screen {
    /// A telephone held upright.
    Phone,
    /// The smallest that is still sold.
    SmallPhone,
    /// A small laptop.
    Desktop,
}

impl Screen {
    /// Width and height in CSS pixels.
    #[must_use]
    pub const fn size(self) -> (u32, u32) {
        match self {
            Self::Phone => (390, 844),
            Self::SmallPhone => (320, 568),
            Self::Desktop => (1280, 800),
        }
    }
}

impl fmt::Display for Screen {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Phone => "phone",
            Self::SmallPhone => "small-phone",
            Self::Desktop => "desktop",
        })
    }
}

impl Page {
    pub(crate) const fn new(pipe: Arc<Pipe>, session: String, target: Value) -> Self {
        Self {
            pipe,
            session,
            target,
        }
    }

    /// Makes consoles and exceptions heard, those of workers too.
    pub(crate) fn prepare(&self) -> Result<()> {
        for domain in [
            "Page.enable",
            "Runtime.enable",
            "Log.enable",
            "Network.enable",
        ] {
            self.call(domain, json!({}))?;
        }
        let workers =
            json!({ "autoAttach": true, "waitForDebuggerOnStart": false, "flatten": true });
        self.call("Target.setAutoAttach", workers)?;
        Ok(())
    }

    /// Calls any method of the protocol on this tab.
    pub fn call(&self, method: &str, parameters: Value) -> Result<Value> {
        self.pipe.call(Some(&self.session), method, parameters)
    }

    /// Goes to an address and waits until its document is there.
    pub fn go(&self, url: &str) -> Result<()> {
        self.start_to(url)?;
        self.wait_until("document.readyState === 'complete'")
    }

    /// Goes to an address, and does not wait for anything.
    pub fn start_to(&self, url: &str) -> Result<()> {
        let answer = self.call("Page.navigate", json!({ "url": url }))?;
        match answer["errorText"].as_str() {
            Some(error) => bail!("{url}: {error}"),
            None => Ok(()),
        }
    }

    /// Loads the page again and waits until the new document is there.
    pub fn reload(&self) -> Result<()> {
        self.eval("window.beforeReload = true")?;
        self.call("Page.reload", json!({}))?;
        self.wait_until("window.beforeReload === undefined && document.readyState === 'complete'")
    }

    /// Evaluates an expression; a promise is waited for.
    pub fn eval(&self, expression: &str) -> Result<Value> {
        let parameters = json!({ "expression": expression, "awaitPromise": true, "returnByValue": true, "userGesture": true });
        let mut answer = self.call("Runtime.evaluate", parameters)?;
        match answer.get("exceptionDetails") {
            Some(details) => bail!("{expression}: {}", details["exception"]["description"]),
            None => Ok(answer["result"]["value"].take()),
        }
    }

    /// Waits until an expression is true.
    pub fn wait_until(&self, expression: &str) -> Result<()> {
        // A navigation under way destroys the context an expression runs in; that is not a failure yet.
        let ask = || {
            Ok(self
                .eval(expression)
                .is_ok_and(|value| value == true)
                .then_some(()))
        };
        until(expression, ask).with_context(|| {
            format!(
                "the page shows: {}",
                self.eval("document.body?.innerText").unwrap_or_default()
            )
        })
    }

    /// Waits for an element with that test id.
    pub fn wait_for(&self, id: &str) -> Result<()> {
        self.wait_until(&format!(
            "document.querySelector({:?}) !== null",
            selector(id)
        ))
    }

    /// Waits for an element with that test id and clicks it.
    pub fn click(&self, id: &str) -> Result<()> {
        self.wait_until(&format!("(() => {{ const e = document.querySelector({:?}); return e !== null && !e.disabled }})()", selector(id)))?;
        self.eval(&format!(
            "document.querySelector({:?}).click()",
            selector(id)
        ))?;
        Ok(())
    }

    /// Puts text into a field as typing would.
    pub fn fill(&self, id: &str, text: &str) -> Result<()> {
        self.wait_for(id)?;
        self.eval(&format!(
            "document.querySelector({:?}).focus()",
            selector(id)
        ))?;
        self.call("Input.insertText", json!({ "text": text }))?;
        Ok(())
    }

    /// The visible text of the first element with that test id; empty when there is none.
    pub fn text(&self, id: &str) -> Result<String> {
        let value = self.eval(&format!(
            "document.querySelector({:?})?.innerText ?? ''",
            selector(id)
        ))?;
        Ok(value.as_str().unwrap_or_default().trim().to_owned())
    }

    /// The visible texts of all elements with that test id.
    pub fn texts(&self, id: &str) -> Result<Vec<String>> {
        let value = self.eval(&format!(
            "[...document.querySelectorAll({:?})].map(e => e.innerText.trim())",
            selector(id)
        ))?;
        Ok(serde_json::from_value(value)?)
    }

    /// Shows the page through that screen in that language.
    pub fn emulate(&self, screen: Screen, language: &str) -> Result<()> {
        let (width, height) = screen.size();
        let (phone, agent) = (screen != Screen::Desktop, self.eval("navigator.userAgent")?);
        let metrics = json!({ "width": width, "height": height, "deviceScaleFactor": if phone { 2 } else { 1 }, "mobile": phone });
        self.call("Emulation.setDeviceMetricsOverride", metrics)?;
        self.call(
            "Emulation.setTouchEmulationEnabled",
            json!({ "enabled": phone }),
        )?;
        self.call(
            "Emulation.setUserAgentOverride",
            json!({ "userAgent": agent, "acceptLanguage": language }),
        )?;
        Ok(())
    }

    /// Cuts the page off from every network, or connects it again.
    pub fn set_offline(&self, offline: bool) -> Result<()> {
        let conditions = json!({ "offline": offline, "latency": 0, "downloadThroughput": -1, "uploadThroughput": -1 });
        self.call("Network.emulateNetworkConditions", conditions)?;
        Ok(())
    }

    /// Brings the tab to the front: a hidden one paints nothing.
    pub fn show(&self) -> Result<()> {
        self.call("Page.bringToFront", json!({}))?;
        Ok(())
    }

    /// Saves what is seen as a PNG file.
    pub fn screenshot(&self, file: &Path) -> Result<()> {
        self.show()?;
        let image = self.call("Page.captureScreenshot", json!({ "format": "png" }))?;
        let bytes = BASE64_STANDARD.decode(image["data"].as_str().context("no image")?)?;
        fs::create_dir_all(file.parent().unwrap_or(Path::new(".")))?;
        fs::write(file, bytes).with_context(|| format!("cannot write {}", file.display()))
    }

    /// Closes the tab as a person would: at once, whatever it is doing.
    pub fn close(self) -> Result<()> {
        self.pipe.call(
            None,
            "Target.closeTarget",
            json!({ "targetId": self.target }),
        )?;
        Ok(())
    }
}

/// The elements with that `data-testid`.
fn selector(id: &str) -> String {
    format!("[data-testid=\"{id}\"]")
}
