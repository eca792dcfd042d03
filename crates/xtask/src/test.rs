//! `cargo xtask test`: everything that has to be right.

mod bits;
mod js_libp2p;

use std::{
    path::Path,
    process::{Command, ExitCode},
};

use anyhow::{Result, ensure};
use clap::Args;
use serde_json::Value;

use crate::{
    lab, paths, policy,
    setup::{self, npm},
    shell::{self, Shell, run_tests},
    size,
    steps::{Steps, Tally},
    wasm::TARGET as WASM,
    web,
};

/// What is built natively: always all of it, since cargo builds a library anew for whoever needs other features of it. The
/// kernels are tested with threads, as the node has them; the browsers' steps test them without.
const NATIVE: [&str; 4] = ["--locked", "--workspace", "--features", "kernels/threads"];

#[derive(Args)]
pub(crate) struct Options {
    /// Only the steps whose name contains this word, after the set-up
    #[arg(long, value_name = "WORD")]
    only: Option<String>,
    /// Write the screenshots of docs/screenshots again
    #[arg(long)]
    screenshots: bool,
}

/// One thing to check.
struct Step<'a> {
    name: &'static str,
    work: Box<dyn FnOnce() -> Result<Tally> + 'a>,
    /// Why this machine cannot do it. Such a step is not a failure, but it is not silent either.
    impossible: Option<String>,
}

impl<'a> Step<'a> {
    fn new(name: &'static str, work: impl FnOnce() -> Result<Tally> + 'a) -> Self {
        Self {
            name,
            work: Box::new(work),
            impossible: None,
        }
    }
}

pub(crate) fn test(options: &Options) -> Result<ExitCode> {
    println!("[0] Set-up");
    let shell = setup::prepare(setup::Purpose::Test)?;
    let web = web_packages(&shell)?;
    let wanted = |name: &str| {
        options
            .only
            .as_ref()
            .is_none_or(|word| name.contains(word.as_str()))
    };
    let steps: Vec<Step> = all(&shell, &web, options)
        .into_iter()
        .filter(|step| wanted(step.name))
        .collect();
    let mut report = Steps::new(steps.len());
    for step in steps {
        match step.impossible {
            Some(reason) => report.leave_out(step.name, &reason),
            None => report.step(step.name, step.work),
        }
    }
    Ok(if report.finish() {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}

/// All steps. A failed one does not keep the others from being tried: one run shows everything that is wrong.
fn all<'a>(shell: &'a Shell, web: &'a [String], options: &'a Options) -> Vec<Step<'a>> {
    vec![
        Step::new("format", || {
            check(&mut shell.cargo(&["fmt", "--all", "--check"]))
        }),
        Step::new("dependencies", || policy::check(shell).map(|()| Tally::ONE)),
        Step::new("lints, native", || native_lints(shell, web)),
        Step::new("lints, browser", || web_lints(shell, web)),
        Step::new("tests, native", || native_tests(shell)),
        Step::new("clients of the HTTP API", || clients(shell)),
        Step::new("bits in Chromium", || bits::in_chromium(shell)),
        Step::new("bits in Chromium, relaxed SIMD", || {
            bits::in_chromium_relaxed(shell)
        }),
        Step::new("bits in Wasmtime", || bits::in_wasmtime(shell)),
        Step {
            impossible: setup::arm::impossible(shell),
            ..Step::new("bits on ARM", || bits::on_arm(shell))
        },
        Step::new("graphics in Chromium", || graphics_in_chromium(shell)),
        Step::new("network in Chromium", || network_in_chromium(shell)),
        Step::new("page build", || web::build(shell).map(|()| Tally::ONE)),
        Step::new("page size", || size::check().map(|()| Tally::ONE)),
        Step::new("tests, end to end in Chromium", || {
            end_to_end(shell, options)
        }),
    ]
}

fn check(command: &mut Command) -> Result<Tally> {
    shell::run(command).map(|()| Tally::ONE)
}

/// The packages that only the browser runs: those below `web/`.
fn web_packages(shell: &Shell) -> Result<Vec<String>> {
    let output = shell
        .cargo(&["metadata", "--no-deps", "--locked", "--format-version", "1"])
        .output()?;
    ensure!(
        output.status.success(),
        "cargo metadata: {}",
        String::from_utf8_lossy(&output.stderr)
    );
    let metadata: Value = serde_json::from_slice(&output.stdout)?;
    let folder = paths::root().join("web");
    let is_web = |package: &&Value| {
        package["manifest_path"]
            .as_str()
            .is_some_and(|path| Path::new(path).starts_with(&folder))
    };
    let packages = metadata["packages"]
        .as_array()
        .into_iter()
        .flatten()
        .filter(is_web);
    Ok(packages
        .filter_map(|package| package["name"].as_str().map(str::to_owned))
        .collect())
}

fn native_lints(shell: &Shell, web: &[String]) -> Result<Tally> {
    let mut clippy = shell.cargo(&["clippy", "--locked", "--workspace", "--all-targets"]);
    clippy.args(web.iter().flat_map(|package| ["--exclude", package]));
    check(clippy.args(["--", "--deny", "warnings"]))
}

/// The packages of the browser, and with them what the libraries do differently there.
fn web_lints(shell: &Shell, web: &[String]) -> Result<Tally> {
    let mut clippy = shell.cargo(&["clippy", "--locked", "--target", WASM]);
    clippy.args(web.iter().flat_map(|package| ["--package", package]));
    check(clippy.args(["--", "--deny", "warnings"]))
}

/// All but the end-to-end tests, which need the page. What the page's packages decide without a browser is tested here
/// like everything else.
fn native_tests(shell: &Shell) -> Result<Tally> {
    if paths::on_path("cargo-nextest").is_none() {
        let mut tests = shell.cargo(&["test", "--no-fail-fast", "--exclude", "e2e"]);
        return run_tests(tests.args(NATIVE));
    }
    let mut tests = shell.cargo(&["nextest", "run", "-E", "not binary_id(e2e::e2e)"]);
    let mut tally = run_tests(tests.args(NATIVE))?;
    // nextest does not run the examples in the documentation.
    tally += run_tests(shell.cargo(&["test", "--doc"]).args(NATIVE))?;
    Ok(tally)
}

/// The program that [`native_tests`] has built, or the same: as something that `local`, which runs it, needs.
fn build_program(shell: &Shell) -> Result<()> {
    let mut node = shell.cargo(&["test", "--no-run", "--test", "local"]);
    shell::run(node.args(NATIVE))
}

fn clients(shell: &Shell) -> Result<Tally> {
    build_program(shell)?;
    lab::clients::check(shell, &paths::target().join("debug/iap2p"))
}

fn with_driver(tests: &mut Command) {
    if let Some(driver) = paths::on_path("chromedriver") {
        tests.env("CHROMEDRIVER", driver);
    }
}

/// Shaders on the graphics processor that Chromium has in software, which is slow, and may take its time.
fn graphics_in_chromium(shell: &Shell) -> Result<Tally> {
    let mut tests = shell.cargo(&["test", "--locked", "--package", "gpu", "--test", "products"]);
    tests
        .args(["--target", WASM])
        .env("WASM_BINDGEN_TEST_TIMEOUT", "300");
    with_driver(&mut tests);
    run_tests(&mut tests)
}

/// Connections between two pages, and between browser nodes and the native one they meet through. What they need is
/// built beforehand: inside its namespace the test reaches nothing from which it could be fetched.
fn network_in_chromium(shell: &Shell) -> Result<Tally> {
    let mut page = shell.cargo(&["test", "--locked", "--no-run", "--target", WASM]);
    page.args(["--package", "webrtc", "--package", "network"]);
    shell::run(page.args(["--test", "browser"]))?;
    let mut tests = shell.cargo(&["test", "--no-fail-fast", "--test", "browser"]);
    tests.args(NATIVE).args(["--", "--ignored"]);
    with_driver(&mut tests);
    run_tests(&mut tests)
}

fn end_to_end(shell: &Shell, options: &Options) -> Result<Tally> {
    build_program(shell)?;
    // Nextest gives each test a network of its own, so that two can run at once.
    let mut tests = match paths::on_path("cargo-nextest") {
        Some(_) => shell.cargo(&["nextest", "run", "-E", "binary_id(e2e::e2e)"]),
        None => shell.cargo(&["test", "--test", "e2e"]),
    };
    tests.args(NATIVE);
    tests.env("IAP2P_JS_LIBP2P", js_libp2p::page(shell)?);
    let axe = npm::packages(shell, "axe", &[])?;
    tests.env("IAP2P_AXE", axe.join("node_modules/axe-core/axe.min.js"));
    tests.env("IAP2P_PROBE", lab::probe::page(shell, "dev")?);
    if options.screenshots {
        tests.env("IAP2P_SCREENSHOTS", "1");
    }
    run_tests(&mut tests)
}
