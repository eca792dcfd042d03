//! `cargo xtask test`: everything that has to be right.

use std::process::ExitCode;

use anyhow::Result;
use clap::Args;

use crate::{
    paths, setup,
    shell::{self, Shell, run_tests},
    size,
    steps::{Steps, Tally},
    web,
};

/// Packages that only exist in the browser.
const WEB: [&str; 3] = ["web", "web-worker", "bridge"];

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
    let wanted = |name: &str| {
        options
            .only
            .as_ref()
            .is_none_or(|word| name.contains(word.as_str()))
    };
    let steps: Vec<Step> = all(&shell, options)
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
fn all<'a>(shell: &'a Shell, options: &'a Options) -> Vec<Step<'a>> {
    let check = |arguments: &'static [&'static str]| -> Box<dyn FnOnce() -> Result<Tally> + 'a> {
        Box::new(move || shell::run(&mut shell.cargo(arguments)).map(|()| Tally::ONE))
    };
    vec![
        ("format", check(&["fmt", "--all", "--check"])),
        (
            "lints, native",
            Box::new(|| lints(shell, &native_packages(&["--all-targets"]))),
        ),
        (
            "lints, browser",
            Box::new(|| {
                lints(
                    shell,
                    &web_packages(&["--target", "wasm32-unknown-unknown"]),
                )
            }),
        ),
        ("tests, native", Box::new(|| native_tests(shell))),
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

fn native_packages<'a>(options: &[&'a str]) -> Vec<&'a str> {
    let mut arguments = vec!["--workspace"];
    arguments.extend(WEB.iter().flat_map(|package| ["--exclude", package]));
    arguments.extend(options);
    arguments
}

fn web_packages<'a>(options: &[&'a str]) -> Vec<&'a str> {
    let mut arguments: Vec<_> = WEB
        .iter()
        .flat_map(|package| ["--package", package])
        .collect();
    arguments.extend(options);
    arguments
}

fn lints(shell: &Shell, arguments: &[&str]) -> Result<Tally> {
    let mut clippy = shell.cargo(&["clippy", "--locked"]);
    shell::run(clippy.args(arguments).args(["--", "--deny", "warnings"]))?;
    Ok(Tally::ONE)
}

fn native_tests(shell: &Shell) -> Result<Tally> {
    let packages = native_packages(&["--exclude", "e2e", "--locked"]);
    if paths::on_path("cargo-nextest").is_none() {
        return run_tests(shell.cargo(&["test", "--no-fail-fast"]).args(packages));
    }
    let mut tally = run_tests(shell.cargo(&["nextest", "run"]).args(&packages))?;
    // nextest does not run the examples in the documentation.
    tally += run_tests(shell.cargo(&["test", "--doc"]).args(&packages))?;
    Ok(tally)
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
