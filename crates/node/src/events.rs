//! What a long-running command tells: sentences for people, or a JSON object per line for programs.

use anyhow::Result;
use fragments::Manifest;
use serde::Serialize;
use std::io::Write;

/// Something others may be waiting for.
#[derive(Debug, Serialize)]
#[serde(tag = "event", rename_all = "snake_case")]
pub(crate) enum Told<'a> {
    /// Who this node is.
    Identity { peer: &'a str },
    /// It can be reached here.
    Listening { address: &'a str },
    /// It cannot listen here.
    ListenFailed { address: &'a str, reason: &'a str },
    /// The page and `/bootstrap.json` are served here.
    Http { url: &'a str },
    /// Programs that speak OpenAI's HTTP API are answered here.
    Api { url: &'a str },
    /// Whoever has this link can join.
    Invitation { link: &'a str },
    /// There is a valid certificate for this domain.
    Certificate { domain: &'a str },
    /// Its model.
    Model {
        model: &'a str,
        name: &'a str,
        fragments: u32,
    },
    /// What it holds now.
    Holding { computes: usize, stores: usize },
    /// A fragment was fetched and verified; `had` bytes of it were here from an earlier run.
    Fetched {
        fragment: u32,
        id: &'a str,
        had: u64,
    },
    /// A fragment is held no longer, because enough others hold it and another one takes its place.
    LetGo { fragment: u32, id: &'a str },
    /// A bootstrap node does not answer; it will be tried again.
    Unreachable { address: &'a str, reason: &'a str },
    /// A fragment (or the manifest) that was whole when the node started is so no longer.
    Damaged { id: &'a str },
    /// A peer was banned.
    Banned { peer: &'a str, reason: &'a str },
    /// It is ready for what it is there for.
    Ready,
}

/// Where events go.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Teller {
    json: bool,
}

impl Teller {
    pub(crate) fn new(json: bool) -> Self {
        Self { json }
    }

    /// The node's model is this one.
    pub(crate) fn tell_model(self, manifest: &Manifest) -> Result<()> {
        let name = manifest.header().metadata.str("general.name");
        self.tell(&Told::Model {
            model: &manifest.id().to_string(),
            name: name.unwrap_or("without a name"),
            fragments: manifest.fragment_ids().len() as u32,
        })
    }

    pub(crate) fn tell(self, told: &Told<'_>) -> Result<()> {
        let line = match (self.json, told) {
            (true, told) => serde_json::to_string(told)?,
            (false, Told::Identity { peer }) => format!("this node is {peer}"),
            (false, Told::Listening { address }) => format!("listening on {address}"),
            (false, Told::ListenFailed { address, reason }) => {
                format!("cannot listen on {address}: {reason}")
            }
            (false, Told::Http { url }) => format!("page at {url}"),
            (false, Told::Api { url }) => format!("OpenAI's API at {url}"),
            (false, Told::Invitation { link }) => format!("invitation: {link}"),
            (false, Told::Certificate { domain }) => format!("certified as {domain}"),
            (
                false,
                Told::Model {
                    model,
                    name,
                    fragments,
                },
            ) => {
                format!("model {name}, {fragments} fragments, id {model}")
            }
            (false, Told::Holding { computes, stores }) => {
                format!("computing on {computes} fragments, offering {stores}")
            }
            (
                false,
                Told::Fetched {
                    fragment,
                    id,
                    had: 0,
                },
            ) => {
                format!("fetched fragment {fragment} ({id})")
            }
            (false, Told::Fetched { fragment, id, had }) => {
                let had = indicatif::HumanBytes(*had);
                format!("fetched the rest of fragment {fragment} ({id}), {had} were here")
            }
            (false, Told::LetGo { fragment, id }) => {
                format!("let go of fragment {fragment} ({id}), enough others hold it")
            }
            (false, Told::Unreachable { address, reason }) => {
                format!("cannot reach {address} ({reason}), trying again")
            }
            (false, Told::Damaged { id }) => {
                format!(
                    "{id} has changed on the disk and is not offered any longer; is the disk failing?"
                )
            }
            (false, Told::Banned { peer, reason }) => format!("banned {peer}: {reason}"),
            (false, Told::Ready) => "ready; Ctrl-C stops".into(),
        };
        let mut out = std::io::stdout().lock();
        writeln!(out, "{line}")?;
        out.flush()?;
        Ok(())
    }
}
