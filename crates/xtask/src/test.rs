//! `cargo xtask test`: everything that has to be right.

use std::{
    path::Path,
    process::{Command, ExitCode},
};

use anyhow::{Result, ensure};
use clap::Args;
use serde_json::Value;

use crate::{
    paths, policy, setup,
    shell::{self, Shell, run_tests},
    size,
    steps::{Steps, Tally},
    web,
};

const WASM: &str = "wasm32-unknown-unknown";

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
type Step<'a> = (&'static str, Box<dyn FnOnce() -> Result<Tally> + 'a>);

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
        .filter(|(name, _)| wanted(name))
        .collect();
    let mut report = Steps::new(steps.len());
    for (name, work) in steps {
        report.step(name, work);
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
        (
            "format",
            Box::new(|| check(&mut shell.cargo(&["fmt", "--all", "--check"]))),
        ),
        (
            "dependencies",
            Box::new(|| policy::check(shell).map(|()| Tally::ONE)),
        ),
        ("lints, native", Box::new(|| native_lints(shell, web))),
        ("lints, browser", Box::new(|| web_lints(shell, web))),
        ("tests, native", Box::new(|| native_tests(shell))),
        ("bits in Chromium", Box::new(|| bits_in_chromium(shell))),
        (
            "kernels in Wasmtime",
            Box::new(|| kernels_in_wasmtime(shell)),
        ),
        (
            "graphics in Chromium",
            Box::new(|| graphics_in_chromium(shell)),
        ),
        (
            "network in Chromium",
            Box::new(|| network_in_chromium(shell)),
        ),
        (
            "page build",
            Box::new(|| web::build(shell).map(|()| Tally::ONE)),
        ),
        ("page size", Box::new(|| size::check().map(|()| Tally::ONE))),
        (
            "tests, end to end in Chromium",
            Box::new(|| end_to_end(shell, options)),
        ),
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
    let packages = ["--locked", "--workspace", "--exclude", "e2e"];
    if paths::on_path("cargo-nextest").is_none() {
        return run_tests(shell.cargo(&["test", "--no-fail-fast"]).args(packages));
    }
    let mut tally = run_tests(shell.cargo(&["nextest", "run"]).args(packages))?;
    // nextest does not run the examples in the documentation.
    tally += run_tests(shell.cargo(&["test", "--doc"]).args(packages))?;
    Ok(tally)
}

/// The same bits as natively, in the engine that will run them.
fn bits_in_chromium(shell: &Shell) -> Result<Tally> {
    let mut tests = shell.cargo(&[
        "test",
        "--locked",
        "--package",
        "kernels",
        "--package",
        "inference",
        "--test",
        "bits",
        "--target",
        WASM,
    ]);
    with_driver(&mut tests);
    run_tests(&mut tests)
}

fn with_driver(tests: &mut Command) {
    if let Some(driver) = paths::on_path("chromedriver") {
        tests.env("CHROMEDRIVER", driver);
    }
}

/// And in one whose compiler is another.
fn kernels_in_wasmtime(shell: &Shell) -> Result<Tally> {
    shell::run(&mut shell.cargo(&[
        "build",
        "--locked",
        "--package",
        "kernels",
        "--example",
        "wasmtime",
        "--target",
        WASM,
    ]))?;
    let mut python = shell.command(setup::wasmtime_python()?);
    python.arg("crates/kernels/tests/run_in_wasmtime.py");
    check(
        python.arg(
            paths::target()
                .join(WASM)
                .join("debug/examples/wasmtime.wasm"),
        ),
    )
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

/// Browser nodes and the native one they meet through. What they need is built beforehand: inside its namespace the test
/// reaches nothing from which it could be fetched.
fn network_in_chromium(shell: &Shell) -> Result<Tally> {
    let package = ["--locked", "--package", "network", "--test", "browser"];
    let mut page = shell.cargo(&["test", "--no-run", "--target", WASM]);
    shell::run(page.args(package))?;
    let mut tests = shell.cargo(&["test"]);
    tests.args(package).args(["--", "--ignored"]);
    with_driver(&mut tests);
    run_tests(&mut tests)
}

/// The tests use the node that the native tests have built: one profile, one build.
fn end_to_end(shell: &Shell, options: &Options) -> Result<Tally> {
    shell::run(&mut shell.cargo(&["build", "--locked", "--package", "node"]))?;
    let mut tests = shell.cargo(&["test", "--locked", "--package", "e2e"]);
    if options.screenshots {
        tests.env("IAP2P_SCREENSHOTS", "1");
    }
    run_tests(&mut tests)
}
