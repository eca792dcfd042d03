//! One Chromium with a profile of its own.

use std::{
    env,
    fs::{self, File},
    process::{Child, Stdio},
    sync::Arc,
    thread,
};

use anyhow::{Context, Result, bail, ensure};
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::{Identity, Video, lab::Host, page::Page, pipe::Pipe, until};

/// No sandbox, because tests run as root in containers; no QUIC and no updates, because nothing may leave the machine.
const FLAGS: &[&str] = &[
    "--headless=new",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-dev-shm-usage",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--remote-debugging-pipe",
];

/// A graphics processor in software, which browsers otherwise keep from pages.
const GRAPHICS: &[&str] = &["--enable-unsafe-webgpu", "--use-webgpu-adapter=swiftshader"];

/// A running browser. Dropping it kills it and removes its profile.
pub struct Browser {
    child: Child,
    pipe: Arc<Pipe>,
    profile: TempDir,
}

impl Browser {
    /// Runs `test` with a new browser; afterwards no page and no worker may have thrown an exception that nobody caught.
    pub fn with<T>(test: impl FnOnce(&Self) -> Result<T>) -> Result<T> {
        Self::launch(&[], None)?.run(test)
    }

    /// The same on another machine. Pages of `origin` are trusted as if they came over TLS.
    pub fn with_at<T>(
        host: &Host,
        origin: &str,
        test: impl FnOnce(&Self) -> Result<T>,
    ) -> Result<T> {
        let trust = format!("--unsafely-treat-insecure-origin-as-secure={origin}");
        Self::launch(&[&trust], Some(host))?.run(test)
    }

    /// The same on another machine, with a browser that tells others the addresses it has.
    pub fn with_addresses_at<T>(host: &Host, test: impl FnOnce(&Self) -> Result<T>) -> Result<T> {
        Self::launch(
            &["--disable-features=WebRtcHideLocalIpsWithMdns"],
            Some(host),
        )?
        .run(test)
    }

    /// The same with a browser for which that domain is this machine, and its certificate good.
    pub fn with_domain<T>(identity: &Identity, test: impl FnOnce(&Self) -> Result<T>) -> Result<T> {
        let names = format!("--host-resolver-rules=MAP {} 127.0.0.1", identity.domain);
        let trust = format!(
            "--ignore-certificate-errors-spki-list={}",
            identity.fingerprint
        );
        Self::launch(&[&names, &trust], None)?.run(test)
    }

    /// The same with a browser that has a graphics processor, in software.
    pub fn with_graphics<T>(test: impl FnOnce(&Self) -> Result<T>) -> Result<T> {
        Self::launch(GRAPHICS, None)?.run(test)
    }

    /// The same with a browser whose camera sees a film, and whose user lets every page use it.
    pub fn with_camera<T>(video: &Video, test: impl FnOnce(&Self) -> Result<T>) -> Result<T> {
        let film = video.file();
        let film = format!(
            "--use-file-for-fake-video-capture={}",
            film.as_ref().display()
        );
        let flags = [
            "--use-fake-device-for-media-stream",
            "--use-fake-ui-for-media-stream",
            &film,
        ];
        Self::launch(&flags, None)?.run(test)
    }

    fn run<T>(self, test: impl FnOnce(&Self) -> Result<T>) -> Result<T> {
        let outcome =
            test(&self).with_context(|| format!("the pages' console:{}", self.pipe.console()))?;
        let exceptions = self.pipe.take_exceptions();
        ensure!(
            exceptions.is_empty(),
            "uncaught in a page: {exceptions:#?}\nconsole:{}",
            self.pipe.console()
        );
        Ok(outcome)
    }

    /// Starts the browser named by `CHROMIUM`, or `chromium`, with more flags than it has always.
    fn launch(flags: &[&str], host: Option<&Host>) -> Result<Self> {
        let profile = tempfile::Builder::new()
            .prefix("iap2p-chromium-")
            .tempdir()?;
        let program = env::var_os("CHROMIUM").unwrap_or_else(|| "chromium".into());
        let log = File::create(profile.path().join("stderr"))?;
        // Chromium speaks on descriptors 3 and 4, which the shell maps onto our pipes; it ends when we do.
        let network = host.map(Host::namespace);
        let mut command = crate::node::bound_to_us_at("sh", network.as_deref());
        command
            .args(["-c", r#"exec "$0" "$@" 3<&0 4>&1 </dev/null >/dev/null"#])
            .arg(program)
            .args(FLAGS)
            .args(flags);
        command
            .arg(format!(
                "--user-data-dir={}",
                profile.path().join("profile").display()
            ))
            .arg("about:blank");
        let mut child = command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(log)
            .spawn()
            .context("cannot start the browser")?;
        let (Some(to), Some(from)) = (child.stdin.take(), child.stdout.take()) else {
            bail!("the browser has no pipes");
        };
        let pipe = Arc::new(Pipe::new(to));
        let reader = Arc::clone(&pipe);
        thread::spawn(move || reader.read(from));
        let browser = Self {
            child,
            pipe,
            profile,
        };
        let version = browser.call("Browser.getVersion", json!({}));
        version.with_context(|| {
            fs::read_to_string(browser.profile.path().join("stderr")).unwrap_or_default()
        })?;
        Ok(browser)
    }

    /// Opens a tab. Like a person's, it is in front when it opens and hidden as soon as the next one is.
    pub fn open(&self, url: &str) -> Result<Page> {
        let target =
            self.call("Target.createTarget", json!({ "url": "about:blank" }))?["targetId"].take();
        let attached = self.call(
            "Target.attachToTarget",
            json!({ "targetId": target, "flatten": true }),
        )?;
        let session = attached["sessionId"]
            .as_str()
            .context("no session")?
            .to_owned();
        let page = Page::new(Arc::clone(&self.pipe), session, target);
        page.prepare()?;
        if url != "about:blank" {
            page.go(url)?;
        }
        Ok(page)
    }

    /// Calls a method of the browser itself.
    pub fn call(&self, method: &str, parameters: Value) -> Result<Value> {
        self.pipe.call(None, method, parameters)
    }

    /// What the pages wrote to their consoles.
    #[must_use]
    pub fn console(&self) -> String {
        self.pipe.console()
    }
}

impl Drop for Browser {
    fn drop(&mut self) {
        let _ = self.call("Browser.close", json!({}));
        let _ = until("the browser has ended", || Ok(self.child.try_wait()?));
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
