//! A page in Chromium that does something and sends back what came of it.

use std::{
    collections::HashMap,
    fs::File,
    io::{BufRead, BufReader, Read, Write, copy},
    net::{TcpListener, TcpStream},
    path::PathBuf,
    process::{Child, Stdio},
    sync::{
        Arc,
        mpsc::{self, SyncSender},
    },
    thread,
    time::Duration,
};

use anyhow::{Context, Result, bail};
use serde_json::Value;

use crate::{paths, shell::Shell};

/// The largest result a page may send.
const MAX_RESULT: u64 = 1 << 20;

/// What is served at a path.
pub(crate) enum Content {
    Text(&'static str),
    File(PathBuf),
}

/// A page and what belongs to it. The page sends its result to `/result` as JSON; with a key `error` it has failed.
pub(crate) struct Page {
    /// By their paths; the page itself is at `/`.
    pub(crate) contents: HashMap<&'static str, Content>,
    pub(crate) patience: Duration,
}

impl Page {
    /// Opens the page and waits for its result.
    pub(crate) fn run(self, shell: &Shell) -> Result<Value> {
        let listener = TcpListener::bind("127.0.0.1:0")?;
        let address = format!("http://{}/", listener.local_addr()?);
        // One result is waited for.
        let (sender, results) = mpsc::sync_channel(1);
        let contents = Arc::new(self.contents);
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let (contents, sender) = (contents.clone(), sender.clone());
                thread::spawn(move || serve(stream, &contents, &sender));
            }
        });
        let profile = paths::target().join(format!("chromium-{}", std::process::id()));
        let browser = Browser::start(shell, &profile, &address)?;
        let result = results.recv_timeout(self.patience);
        drop(browser);
        std::fs::remove_dir_all(&profile).ok(); // left to the next `cargo clean` if it cannot be removed
        let result = result.context("the page has not answered in time")?;
        if let Some(error) = result.get("error") {
            bail!("the page has failed: {error}");
        }
        Ok(result)
    }
}

/// Ends with this value.
struct Browser(Child);

impl Browser {
    fn start(shell: &Shell, profile: &std::path::Path, address: &str) -> Result<Self> {
        let child = shell
            .command("chromium")
            .args([
                "--headless=new",
                "--no-sandbox",
                "--disable-gpu",
                "--disable-quic",
                "--no-first-run",
                "--disable-background-networking",
                "--disable-component-update",
                "--disable-sync",
                "--disable-dev-shm-usage",
            ])
            .arg(format!("--user-data-dir={}", profile.display()))
            .arg(address)
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .context("cannot start Chromium")?;
        Ok(Self(child))
    }
}

impl Drop for Browser {
    fn drop(&mut self) {
        self.0.kill().ok(); // it may have ended by itself
        self.0.wait().ok();
    }
}

fn serve(
    stream: TcpStream,
    contents: &HashMap<&'static str, Content>,
    results: &SyncSender<Value>,
) {
    // Whoever has gone in the middle of an answer does not want the rest of it.
    answer(stream, contents, results).ok();
}

fn answer(
    mut stream: TcpStream,
    contents: &HashMap<&'static str, Content>,
    results: &SyncSender<Value>,
) -> Result<()> {
    let mut reader = BufReader::new(stream.try_clone()?);
    let mut line = String::new();
    reader.read_line(&mut line)?;
    let path = line.split(' ').nth(1).unwrap_or("/").to_owned();
    let path = path.split('?').next().unwrap_or("/");
    let mut length = 0;
    loop {
        line.clear();
        if reader.read_line(&mut line)? == 0 || line.trim().is_empty() {
            break;
        }
        if let Some((name, value)) = line.split_once(':')
            && name.eq_ignore_ascii_case("content-length")
        {
            length = value.trim().parse().unwrap_or(0);
        }
    }
    if path == "/result" {
        let mut body = Vec::new();
        reader.take(length.min(MAX_RESULT)).read_to_end(&mut body)?;
        results.try_send(serde_json::from_slice(&body)?).ok(); // nobody waits for a second one
        return head(&mut stream, "204 No Content", "text/plain", 0);
    }
    let kind = match path.rsplit('.').next() {
        Some("js") => "text/javascript",
        Some("wasm") => "application/wasm",
        Some("gguf" | "bin") => "application/octet-stream",
        _ => "text/html",
    };
    match contents.get(path) {
        Some(Content::Text(text)) => {
            head(&mut stream, "200 OK", kind, text.len() as u64)?;
            stream.write_all(text.as_bytes())?;
        }
        Some(Content::File(file)) => {
            let mut file = File::open(file)?;
            head(&mut stream, "200 OK", kind, file.metadata()?.len())?;
            copy(&mut file, &mut stream)?;
        }
        None => head(&mut stream, "404 Not Found", kind, 0)?,
    }
    Ok(())
}

/// With the headers that give pages precise clocks and shared memory.
fn head(stream: &mut TcpStream, status: &str, kind: &str, length: u64) -> Result<()> {
    write!(
        stream,
        "HTTP/1.1 {status}\r\nContent-Type: {kind}\r\nContent-Length: {length}\r\nConnection: close\r\n\
         Cross-Origin-Opener-Policy: same-origin\r\nCross-Origin-Embedder-Policy: require-corp\r\n\
         Cross-Origin-Resource-Policy: same-origin\r\n\r\n"
    )?;
    Ok(())
}
