//! By TLS: what a phone asks of a page that may compute and be installed.

use std::{ffi::OsStr, fs};

use anyhow::{Context, Result, ensure};
use e2e::{Authority, Browser, Identity, Network, Program, Visitor, get, until};

use crate::answer::{QUESTION, same};

const MAX_TOKENS: u32 = 20;
const DOMAIN: &str = "swarm.test";
const HTTPS: u16 = 443;

pub(crate) fn a_page_that_came_by_tls_enters_and_answers() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let identity = Identity::make(DOMAIN, folder.path())?;
    let network = Network::secure(&identity)?;
    let worker = network.full_worker()?;
    let alone = network.alone(QUESTION, MAX_TOKENS)?;
    ensure!(
        network.url.starts_with("https://swarm.test:"),
        "{}",
        network.url
    );
    let entrance = network
        .entry
        .listens(|address| address.contains("/tls/ws"))?;
    Browser::with_domain(&identity, |browser| {
        // The page asks where it came from how to get in.
        let visitor = Visitor::join(browser, &format!("{}#", network.url), 1)?;
        ensure!(visitor.eval("isSecureContext && location.protocol")? == "https:");
        let told = visitor.eval("fetch('bootstrap.json').then(it => it.json())")?;
        ensure!(told["bootstrap"][0] == entrance.as_str(), "{told}");
        visitor.meets(&worker.peer_id()?)?;
        visitor.be_predictable(MAX_TOKENS)?;
        visitor.ask(QUESTION)?;
        same(&visitor.answer()?, &alone)
    })
}

pub(crate) fn an_authority_certifies_the_domain_once() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let authority = Authority::start(folder.path(), HTTPS)?;
    let (program, key) = (Program::find()?, folder.path().join("entry.key"));
    let start = || {
        let directory = authority.directory();
        let arguments: [&dyn AsRef<OsStr>; 9] = [
            &"bootstrap",
            &"--domain",
            &DOMAIN,
            &"--acme",
            &directory,
            &"--acme-root",
            &authority.certificate,
            &"--email",
            &"who@swarm.test",
        ];
        program.start(&key, &arguments)
    };
    let entry = start()?;
    entry.told("certificate")?;
    let root = authority.root()?;
    let certified = || get(DOMAIN, HTTPS, "/bootstrap.json", root.as_bytes());
    let answer = certified()?;
    ensure!(
        answer.contains("/dns/swarm.test/tcp/443/tls/ws/p2p/"),
        "{answer}"
    );
    // Whoever comes without TLS is led on.
    let led = e2e::get_plainly(DOMAIN, "/an/invitation")?;
    ensure!(
        led.contains("location: https://swarm.test/an/invitation"),
        "{led}"
    );
    drop(entry);

    // It keeps what it was given: the authority is not asked again.
    let orders = || -> Result<usize> {
        let log = fs::read_to_string(folder.path().join("authority.log"))?;
        Ok(log.matches("/order-plz").count())
    };
    let before = orders()?;
    ensure!(before > 0, "no order in the authority's log");
    let again = start()?;
    again.told("certificate")?;
    until("the certificate is shown again", || Ok(certified().ok())).context("after a restart")?;
    ensure!(orders()? == before);
    Ok(())
}
