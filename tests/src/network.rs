//! A whole network on one machine: the demo model cut, an entry with the page, and workers.

use std::{
    collections::BTreeSet,
    ffi::OsStr,
    net::SocketAddr,
    os::unix::fs::FileExt,
    path::{Path, PathBuf},
};

use anyhow::{Context, Result, ensure};
use fragments::MANIFEST_FILE;
use serde_json::Value;
use tempfile::TempDir;

use crate::{
    Identity, Proxy,
    lab::{Host, Site},
    node::{self, Node, Program},
    watch::metric,
};

/// Where a public entry tells how it is.
pub(crate) const STATUS: &str = "127.0.0.1:9100";
/// A size by which the demo model is a handful of fragments, each of many pieces.
const LARGE_FRAGMENT: &str = "1000000";
/// What workers are dialled by unless something else is asked for.
const DIALLED: [&str; 2] = ["tcp/0", "tcp/0/ws"];

/// A network with one entry, which offers every fragment and computes nothing.
pub struct Network {
    program: Program,
    folder: TempDir,
    /// The entry.
    pub entry: Node,
    /// Where its page is.
    pub url: String,
    /// Where browsers reach it.
    pub address: String,
    /// The model's id.
    pub model: String,
    /// The number of its fragments.
    pub fragments: u32,
    /// Where its nodes listen.
    ip: String,
    /// That of a private swarm, and the file it is in.
    secret: Option<(String, PathBuf)>,
}

/// What a network is to be like.
struct Kind<'a> {
    private: bool,
    ip: &'a str,
    tls: Option<&'a Identity>,
    web: Option<(&'a Path, &'a str)>,
    turn: bool,
    host: Option<&'a Host>,
}

impl Default for Kind<'_> {
    fn default() -> Self {
        Self {
            private: false,
            ip: "127.0.0.1",
            tls: None,
            web: None,
            turn: false,
            host: None,
        }
    }
}

/// What one process alone answers.
pub struct Answer {
    /// The text.
    pub text: String,
    /// Its tokens.
    pub tokens: Vec<u32>,
}

impl Network {
    /// Cuts the model and starts the entry.
    pub fn start() -> Result<Self> {
        Self::start_with(&Kind::default())
    }

    /// The same with an entry that is reached by TLS, too.
    pub fn secure(identity: &Identity) -> Result<Self> {
        Self::start_with(&Kind {
            tls: Some(identity),
            ..Kind::default()
        })
    }

    /// The same for a private swarm.
    pub fn private() -> Result<Self> {
        Self::start_with(&Kind {
            private: true,
            ..Kind::default()
        })
    }

    /// The same with an entry at this address, where it has a TURN server, too, if it is to have one.
    pub fn public(ip: &str, turn: bool) -> Result<Self> {
        Self::start_with(&Kind {
            ip,
            turn,
            ..Kind::default()
        })
    }

    /// The same with an entry on another machine, where it has this address.
    pub fn at(host: &Host, ip: &str) -> Result<Self> {
        Self::start_with(&Kind {
            ip,
            host: Some(host),
            ..Kind::default()
        })
    }

    /// How many bytes the TURN server of a [public](Self::public) entry has handed on.
    pub fn through_turn(&self) -> Result<u64> {
        metric(STATUS, "iap2p_turn_relayed_bytes_total")
    }

    /// What a [public](Self::public) entry with a TURN server says of itself.
    pub fn status(&self) -> Result<Value> {
        let status = self.program.run(&[&"status", &STATUS, &"--json"])?;
        Ok(serde_json::from_str(&status)?)
    }

    /// The program it runs.
    #[must_use]
    pub fn program(&self) -> &Program {
        &self.program
    }

    /// A network in which nobody has a fragment: they are few and large, and for a web server to give, which the manifest
    /// names. The entry has only that.
    pub fn on_the_web(fragments: &Path, seed: &str) -> Result<Self> {
        Self::start_with(&Kind {
            web: Some((fragments, seed)),
            ..Kind::default()
        })
    }

    fn start_with(kind: &Kind) -> Result<Self> {
        let Kind {
            private,
            ip,
            tls,
            web,
            turn,
            host,
        } = *kind;
        let program = Program::find()?;
        let folder = tempfile::Builder::new()
            .prefix("iap2p-network-")
            .tempdir()?;
        let secret = if private {
            let (secret, file) = (program.run(&[&"secret"])?, folder.path().join("secret"));
            std::fs::write(&file, &secret)?;
            Some((secret.trim().to_owned(), file))
        } else {
            None
        };
        let fragments = folder.path().join("fragments");
        match web {
            Some((elsewhere, seed)) => {
                program.run(&[
                    &"cut",
                    &node::model()?,
                    &elsewhere,
                    &"--fragment-size",
                    &LARGE_FRAGMENT,
                    &"--web-seed",
                    &seed,
                ])?;
                std::fs::create_dir(&fragments)?;
                std::fs::copy(elsewhere.join(MANIFEST_FILE), fragments.join(MANIFEST_FILE))?;
            }
            None => program.cut_demo(&fragments)?,
        }
        let dist = node::dist()?;
        let http = format!("{ip}:0");
        let listen = format!("/ip4/{ip}/tcp/0,/ip4/{ip}/tcp/0/ws,/ip4/{ip}/udp/0/webrtc-direct");
        let mut arguments: Vec<&dyn AsRef<OsStr>> = vec![
            &"bootstrap",
            &"--seed",
            &fragments,
            &"--web",
            &dist,
            &"--http",
            &http,
            &"--listen",
            &listen,
        ];
        if let Some((_, file)) = &secret {
            arguments.extend([&"--secret-file" as &dyn AsRef<OsStr>, file]);
        }
        let turn_at = format!("{ip}:3478");
        if turn {
            arguments.extend([&"--turn" as &dyn AsRef<OsStr>, &turn_at]);
            // What a test sends is to be limited by the machine only.
            arguments.extend([&"--turn-limit" as &dyn AsRef<OsStr>, &"1G"]);
            arguments.extend([&"--status" as &dyn AsRef<OsStr>, &STATUS]);
        }
        if let Some(tls) = tls {
            arguments.extend([&"--domain" as &dyn AsRef<OsStr>, &tls.domain]);
            arguments.extend([&"--https" as &dyn AsRef<OsStr>, &http]);
            arguments.extend([&"--tls-cert" as &dyn AsRef<OsStr>, &tls.certificate]);
            arguments.extend([&"--tls-key" as &dyn AsRef<OsStr>, &tls.key]);
        }
        let here = host.map_or_else(|| program.clone(), |host| program.at(host));
        let entry = here.start(&folder.path().join("entry.key"), &arguments)?;
        let text = |event: &Value, key: &str| {
            Ok::<_, anyhow::Error>(event[key].as_str().context("no text")?.to_owned())
        };
        let described = entry.told("model")?;
        let url = text(&entry.told("http")?, "url")?;
        let address = entry.websocket()?;
        let fragments = described["fragments"]
            .as_u64()
            .context("no number of fragments")?
            .try_into()?;
        Ok(Self {
            program,
            folder,
            url,
            address,
            model: text(&described, "model")?,
            fragments,
            ip: ip.to_owned(),
            secret,
            entry,
        })
    }

    /// The folder with the fragments.
    #[must_use]
    pub fn folder(&self) -> PathBuf {
        self.folder.path().join("fragments")
    }

    /// A folder with the same fragments.
    pub fn copy_of_folder(&self) -> Result<PathBuf> {
        let copy = self.folder.path().join("copy");
        std::fs::create_dir(&copy)?;
        for entry in std::fs::read_dir(self.folder())? {
            let entry = entry?;
            std::fs::copy(entry.path(), copy.join(entry.file_name()))?;
        }
        Ok(copy)
    }

    /// Starts a worker that computes on what tabs do not lend.
    pub fn worker_for_the_rest(&self, lent: &BTreeSet<u32>) -> Result<Node> {
        let rest: Vec<_> = (0..self.fragments)
            .filter(|index| !lent.contains(index))
            .collect();
        self.worker("worker", &rest)
    }

    /// Starts a worker that computes on these fragments.
    pub fn worker(&self, name: &str, fragments: &[u32]) -> Result<Node> {
        self.worker_with(name, &self.folder(), fragments)
    }

    /// The same with the files of another folder.
    pub fn worker_with(&self, name: &str, folder: &Path, fragments: &[u32]) -> Result<Node> {
        let hold = list(fragments);
        self.serve(name, folder, &DIALLED, &[&"--hold", &hold])
    }

    /// Starts a worker that computes on these fragments and is reached by these transports only, such as `tcp/0`.
    pub fn worker_by(&self, transports: &[&str], name: &str, fragments: &[u32]) -> Result<Node> {
        let hold = list(fragments);
        self.serve(name, &self.folder(), transports, &[&"--hold", &hold])
    }

    fn serve(
        &self,
        name: &str,
        folder: &Path,
        transports: &[&str],
        more: &[&dyn AsRef<OsStr>],
    ) -> Result<Node> {
        let (ip, key) = (&self.ip, self.folder.path().join(format!("{name}.key")));
        let listen = transports.iter().map(|by| format!("/ip4/{ip}/{by}"));
        let listen = listen.collect::<Vec<_>>().join(",");
        let mut arguments: Vec<&dyn AsRef<OsStr>> = vec![
            &"serve",
            &"--dir",
            &folder,
            &"--bootstrap",
            &self.address,
            &"--listen",
            &listen,
        ];
        if let Some((_, file)) = &self.secret {
            arguments.extend([&"--secret-file" as &dyn AsRef<OsStr>, file]);
        }
        arguments.extend(more);
        self.program.start(&key, &arguments)
    }

    /// Starts a worker that computes on all of them.
    pub fn full_worker(&self) -> Result<Node> {
        self.worker("full", &Vec::from_iter(0..self.fragments))
    }

    /// The same, and it tells at `status` how it is.
    pub fn watched_worker(&self, status: &str) -> Result<Node> {
        self.worker_told("watched", &[&"--status", &status])
    }

    /// Starts a worker that computes on all of them, with more arguments.
    pub fn worker_told(&self, name: &str, more: &[&dyn AsRef<OsStr>]) -> Result<Node> {
        self.serve(name, &self.folder(), &DIALLED, more)
    }

    /// Where native nodes reach the entry.
    pub fn plain_address(&self) -> Result<String> {
        let plain = |address: &str| address.contains("/tcp/") && !address.contains("/ws");
        self.entry.listens(plain)
    }

    /// Starts a worker that computes on all of them, on another machine, where it is reached only by those whom its router
    /// lets through.
    pub fn worker_behind(&self, site: &Site, key: &Path) -> Result<Node> {
        self.worker_at(&site.host, &site.address, key, &[])
    }

    /// Starts a worker on another machine, which has this address.
    pub fn worker_at(
        &self,
        host: &Host,
        ip: &str,
        key: &Path,
        more: &[&dyn AsRef<OsStr>],
    ) -> Result<Node> {
        let listen = format!("/ip4/{ip}/tcp/0,/ip4/{ip}/tcp/0/ws,/ip4/{ip}/udp/0/webrtc-direct");
        self.worker_listening(host, &listen, key, more)
    }

    /// The same, which listens at these addresses.
    pub fn worker_listening(
        &self,
        host: &Host,
        listen: &str,
        key: &Path,
        more: &[&dyn AsRef<OsStr>],
    ) -> Result<Node> {
        let (folder, entry) = (self.folder(), self.plain_address()?);
        let mut arguments: Vec<&dyn AsRef<OsStr>> = vec![
            &"serve",
            &"--dir",
            &folder,
            &"--bootstrap",
            &entry,
            &"--listen",
            &listen,
        ];
        arguments.extend(more);
        self.program.at(host).start(key, &arguments)
    }

    /// The link that invites to this network.
    #[must_use]
    pub fn link(&self) -> String {
        self.link_by(&self.address)
    }

    /// The same by another way in.
    #[must_use]
    pub fn link_by(&self, address: &str) -> String {
        let link = format!("{}#model={}&bootstrap={address}", self.url, self.model);
        match &self.secret {
            Some((secret, _)) => format!("{link}&secret={secret}"),
            None => link,
        }
    }

    /// A link to the entry that can be slow and can be cut, and the address by which it is entered.
    pub fn proxy(&self) -> Result<(Proxy, String)> {
        let port = self
            .address
            .split('/')
            .nth(4)
            .context("no port in the address")?;
        let proxy = Proxy::start(SocketAddr::from(([127, 0, 0, 1], port.parse()?)))?;
        let address = self.address.replacen(
            &format!("/tcp/{port}/"),
            &format!("/tcp/{}/", proxy.port()),
            1,
        );
        Ok((proxy, address))
    }

    /// What one process answers that has the whole model.
    pub fn alone(&self, question: &str, max_tokens: u32) -> Result<Answer> {
        let max_tokens = max_tokens.to_string();
        let folder = self.folder();
        let report = self.program.run(&[
            &"generate",
            &"--model",
            &folder,
            &"--chat",
            &"--json",
            &"--max-tokens",
            &max_tokens,
            &"--prompt",
            &question,
        ])?;
        let report: Value = serde_json::from_str(&report)?;
        let tokens: Vec<u32> = serde_json::from_value(report["tokens"].clone())?;
        ensure!(
            !tokens.is_empty(),
            "a single process says nothing to {question:?}"
        );
        Ok(Answer {
            text: report["text"].as_str().context("no text")?.to_owned(),
            tokens,
        })
    }

    /// The files of all fragments.
    pub fn files(&self) -> Result<Vec<PathBuf>> {
        let files = std::fs::read_dir(self.folder())?
            .map(|entry| Ok(entry?.path()))
            .collect::<Result<Vec<_>>>()?;
        let files: Vec<_> = files
            .into_iter()
            .filter(|file| file.extension().is_some_and(|end| end == "fragment"))
            .collect();
        ensure!(
            files.len() == self.fragments as usize,
            "{} files for {} fragments",
            files.len(),
            self.fragments
        );
        Ok(files)
    }
}

/// Turns over one bit in the middle of a file, in place: a process that has it mapped sees it.
pub fn flip_a_bit(file: &Path) -> Result<()> {
    let middle = std::fs::metadata(file)?.len() / 2;
    let file = std::fs::File::options().read(true).write(true).open(file)?;
    let mut byte = [0];
    file.read_exact_at(&mut byte, middle)?;
    file.write_all_at(&[byte[0] ^ 1], middle)?;
    Ok(())
}

fn list(fragments: &[u32]) -> String {
    let numbers: Vec<_> = fragments.iter().map(u32::to_string).collect();
    numbers.join(",")
}
