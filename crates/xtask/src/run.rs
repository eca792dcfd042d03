//! `cargo xtask run`: the system at work, from nothing to an address to open.

use std::{
    io::{Read, Write},
    net::{SocketAddr, TcpStream},
    path::{Path, PathBuf},
    process::{Child, Command, ExitCode},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, bail};
use clap::Args;
use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};

use crate::{
    paths, setup,
    shell::{self, Shell},
    web,
};

/// The demo model is small; so are its fragments, or there would be too few of them to share out.
const DEMO_FRAGMENT_SIZE: u32 = 256 * 1024;
const FRAGMENT_SIZE: u32 = 10 * 1024 * 1024;

/// How long a node may take from its start to its first page; it checks every fragment it is to serve.
const START_PATIENCE: Duration = Duration::from_secs(600);

#[derive(Args)]
pub(crate) struct Options {
    /// The GGUF to serve instead of the demo model
    #[arg(long, value_name = "FILE.gguf")]
    model: Option<PathBuf>,
    /// Where the page is served
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:8080")]
    http: SocketAddr,
    /// Size of a fragment at most [default: 10 MiB; 256 KiB for the demo model]
    #[arg(long, value_name = "BYTES")]
    fragment_size: Option<u32>,
    /// Further arguments for `iap2p bootstrap`
    #[arg(last = true, value_name = "ARGUMENTS")]
    node: Vec<String>,
}

pub(crate) fn run(options: &Options) -> Result<ExitCode> {
    println!("[1/4] Set-up");
    let shell = setup::prepare(setup::Purpose::Run)?;
    println!("\n[2/4] Building the page and the node");
    web::build(&shell)?;
    shell::run(&mut shell.cargo(&["build", "--locked", "--release", "--package", "node"]))?;
    println!("\n[3/4] Cutting the model into fragments");
    let folder = cut(&shell, options)?;
    println!("\n[4/4] Starting the node");
    serve(&shell, options, &folder)
}

fn iap2p(shell: &Shell) -> Command {
    shell.command(paths::target().join("release/iap2p"))
}

/// Cuts the model into a folder of its own; what is already there is kept.
fn cut(shell: &Shell, options: &Options) -> Result<PathBuf> {
    let (model, size, parent) = match &options.model {
        Some(file) => (std::path::absolute(file)?, FRAGMENT_SIZE, paths::models()?),
        None => (
            paths::root().join("crates/demo-model/demo.gguf"),
            DEMO_FRAGMENT_SIZE,
            paths::target().join("models"),
        ),
    };
    let size = options.fragment_size.unwrap_or(size);
    let stem = model
        .file_stem()
        .with_context(|| format!("{} is no file name", model.display()))?;
    let folder = parent.join(format!("{}-{size}", stem.to_string_lossy()));
    std::fs::create_dir_all(&parent)?;
    shell::run(
        iap2p(shell)
            .arg("cut")
            .arg(&model)
            .arg(&folder)
            .args(["--fragment-size", &size.to_string()]),
    )?;
    Ok(folder)
}

/// Runs the node until somebody stops it.
fn serve(shell: &Shell, options: &Options, model: &Path) -> Result<ExitCode> {
    let mut command = iap2p(shell);
    command.args(["bootstrap", "--serve", "--model"]).arg(model);
    command
        .arg("--web")
        .arg(paths::dist())
        .args(["--http", &options.http.to_string()])
        .args(&options.node);
    shell::say(&command);
    let mut node = command.spawn().context("cannot start the node")?;
    let stopped = stop_with_us(&node)?;
    wait_for_page(&mut node, options.http)?;
    announce(options);
    let status = node.wait()?;
    if stopped.load(Ordering::Relaxed) {
        println!("stopped");
        return Ok(ExitCode::SUCCESS);
    }
    bail!("the node stopped by itself ({status})");
}

/// Hands signals that would end this program to the node, so that it never outlives us.
fn stop_with_us(node: &Child) -> Result<Arc<AtomicBool>> {
    let stopped = Arc::new(AtomicBool::new(false));
    let (flag, node) = (stopped.clone(), Pid::from_raw(node.id().try_into()?));
    ctrlc::set_handler(move || {
        flag.store(true, Ordering::Relaxed);
        // At a Ctrl-C the terminal has told the node already, and it may be gone: nothing to do about that.
        let _ = kill(node, Signal::SIGTERM);
    })?;
    Ok(stopped)
}

fn wait_for_page(node: &mut Child, address: SocketAddr) -> Result<()> {
    let started = Instant::now();
    while !answers(address) {
        if let Some(status) = node.try_wait()? {
            bail!("the node could not start ({status})");
        }
        if started.elapsed() > START_PATIENCE {
            let _ = node.kill();
            bail!(
                "the node serves no page after {} s",
                START_PATIENCE.as_secs()
            );
        }
        thread::sleep(Duration::from_millis(100));
    }
    Ok(())
}

fn answers(address: SocketAddr) -> bool {
    let ask = || {
        let mut stream = TcpStream::connect_timeout(&local(address), Duration::from_secs(1))?;
        stream.set_read_timeout(Some(Duration::from_secs(5)))?;
        write!(
            stream,
            "GET /bootstrap.json HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n"
        )?;
        let mut head = [0; 12];
        stream.read_exact(&mut head)?;
        std::io::Result::Ok(head.ends_with(b" 200"))
    };
    ask().unwrap_or(false)
}

/// The address under which a server that listens everywhere is reached from here.
fn local(address: SocketAddr) -> SocketAddr {
    match address {
        SocketAddr::V4(v4) if v4.ip().is_unspecified() => ([127, 0, 0, 1], v4.port()).into(),
        SocketAddr::V6(v6) if v6.ip().is_unspecified() => {
            ([0, 0, 0, 0, 0, 0, 0, 1], v6.port()).into()
        }
        other => other,
    }
}

fn announce(options: &Options) {
    let example = match options.model {
        Some(_) => "Ask a question in any of them",
        None => "Ask in any of them: \"Qu'est-ce qu'un fragment ?\" or \"How do I join?\"",
    };
    let lines = [
        format!("Open  http://{}/", local(options.http)),
        String::new(),
        "1. Open that address in two or three tabs; in each, join with one click.".into(),
        format!("2. {example}."),
        "3. Look at the dashboard: it shows which nodes computed the answer.".into(),
        String::new(),
        "Ctrl-C stops everything.".into(),
    ];
    let width = lines
        .iter()
        .map(|line| line.chars().count())
        .max()
        .unwrap_or(0)
        + 2;
    println!("\n┌{}┐", "─".repeat(width));
    for line in lines {
        println!("│ {line:<0$}│", width - 1);
    }
    println!("└{}┘\n", "─".repeat(width));
}
