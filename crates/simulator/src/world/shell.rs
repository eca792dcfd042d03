//! What each node wants done is done, as badly as its manner has it.

use super::{Happening, MS, Manner, STAGE, World, compute, name_of};
use bytes::Bytes;
use protocol::{Heartbeat, Message};
use std::collections::BTreeSet;
use std::time::Duration;
use swarm::{Action, ComputeError, Content, ContentId, DownloadId, Event, PeerId, Ticket};

impl World {
    pub(super) fn plan(&mut self, who: &PeerId, after: Duration, happening: Happening) {
        self.sequence += 1;
        self.happenings
            .insert((self.now + after, self.sequence), (who.clone(), happening));
    }

    /// Does what a node's shell has to do.
    pub fn carry_out(&mut self, who: &PeerId) {
        while let Some(action) = self
            .inhabitants
            .get_mut(who)
            .and_then(|i| i.node.poll_action())
        {
            self.log.push(self.describe(who, &action));
            let now = self.now;
            let i = self.get(who);
            match action {
                Action::Send { peer, message } => {
                    let answer = matches!(
                        message,
                        Message::ComputeResponse(_)
                            | Message::StageResponse(_)
                            | Message::JobResponse(_)
                            | Message::ContentResponse(_)
                    );
                    let silent = i.manner == Manner::Silent && answer;
                    let repeats = i.manner == Manner::Repeats && answer;
                    let linked = i.links.contains(&peer);
                    if answer && self.lose > 0 {
                        self.lose -= 1;
                    } else if linked && !silent {
                        if repeats {
                            self.deliver(who, &peer, message.clone());
                        }
                        self.deliver(who, &peer, message);
                    }
                }
                Action::Compute {
                    ticket,
                    fragment,
                    body,
                } => {
                    i.computed += 1;
                    let start = i.free_at.max(now);
                    i.free_at = start + i.pace;
                    let (after, result) = match i.manner {
                        Manner::Garbage => (Duration::ZERO, Ok(Bytes::from_static(b"nonsense"))),
                        Manner::Refuses => (MS, Err(ComputeError::BadRequest("no".into()))),
                        _ => (i.free_at - now, Ok(compute(fragment, &body))),
                    };
                    self.plan(
                        who,
                        after,
                        Happening::Tell(Event::Computed { ticket, result }),
                    );
                }
                Action::Answer { request, by, body } => {
                    if body.starts_with(b"ok ") {
                        i.node.accept(request, now);
                        assert!(
                            i.answers.insert(request, (by, body)).is_none(),
                            "answered twice"
                        );
                    } else {
                        i.node.reject(request, now);
                    }
                }
                Action::Failed { request, failure } => {
                    assert!(
                        i.failures.insert(request, failure).is_none(),
                        "failed twice"
                    );
                }
                Action::RunStage {
                    ticket,
                    peer,
                    session,
                    body,
                } => {
                    i.running.insert((peer, session), ticket);
                    let (after, result) = match i.manner {
                        Manner::Garbage => (Duration::ZERO, Ok(Bytes::from_static(b"nonsense"))),
                        Manner::Refuses => (MS, Err(ComputeError::BadRequest("no".into()))),
                        _ => (i.pace, Ok(compute(STAGE, &body))),
                    };
                    let done = Event::StageRun { ticket, result };
                    self.plan(who, after, Happening::Tell(done));
                }
                Action::PrepareStages => i.node.set_able(true, now),
                Action::StopStage { peer, session } => {
                    let stopped = i.running.remove(&(peer, session));
                    assert!(stopped.is_some(), "stopped what does not run");
                    i.stopped += 1;
                }
                Action::StageAnswer {
                    request,
                    peer,
                    body,
                } => {
                    let good = body.starts_with(b"ok ");
                    if !good {
                        i.node.reject_stage(&peer, now);
                    }
                    let result = good.then_some(body).ok_or("nonsense".into());
                    let before = i.stages.insert(request, (peer, result));
                    assert!(before.is_none(), "answered twice");
                }
                Action::StageLost {
                    request,
                    peer,
                    reason,
                } => {
                    let before = i.stages.insert(request, (peer, Err(reason)));
                    assert!(before.is_none(), "lost what was answered");
                }
                Action::RunJob { job, .. } => i.jobs.push(job),
                // As if it had noticed at once.
                Action::StopJob { job } => {
                    let event = Event::JobTold {
                        job,
                        progress: Bytes::new(),
                        over: true,
                    };
                    self.plan(who, Duration::ZERO, Happening::Tell(event));
                }
                Action::JobAnswer { request, result } => {
                    let before = i.job_answers.insert(request, result);
                    assert!(before.is_none(), "told twice");
                }
                Action::Queued { request, queue } => {
                    i.queued.insert(request, queue);
                }
                Action::ReadContent {
                    ticket,
                    content,
                    block,
                } => self.read(who, ticket, content, block),
                Action::Write {
                    download,
                    offset,
                    bytes,
                } => {
                    let file = i.files.get_mut(&download).expect("a download of ours");
                    assert!(offset <= file.len() as u64, "bytes come without gaps");
                    file.truncate(offset as usize);
                    file.extend_from_slice(&bytes);
                }
                Action::Complete { download } => {
                    let good = name_of(&i.files[&download]) == i.wanted[&download];
                    if good {
                        i.done.insert(download);
                        self.keep(who, download);
                    }
                    self.plan(who, MS, Happening::Tell(Event::Verified { download, good }));
                }
                Action::FetchWeb {
                    download,
                    content,
                    seed,
                } => {
                    let result = self.web[seed];
                    let mut bytes = self.contents[&content].to_vec();
                    let i = self.get(who);
                    match result {
                        Ok(()) => _ = i.done.insert(download),
                        Err(have) => bytes.truncate(have as usize),
                    }
                    i.files.insert(download, bytes);
                    self.web_asked.push((content, seed, now));
                    let fetched = Event::WebFetched { download, result };
                    self.plan(who, 500 * MS, Happening::Tell(fetched));
                }
                Action::Ban { peer, .. } => {
                    i.banned.insert(peer.clone());
                    self.unlink(who, &peer);
                }
                Action::Disconnect { peer } => self.unlink(who, &peer),
                Action::Publish { heartbeat } => {
                    self.publish(who, &heartbeat);
                    self.get(who).said = Some(heartbeat);
                }
                Action::TakeUp { fragment } => {
                    let download = self.fetch(who, fragment.0);
                    self.get(who).taking.insert(download, fragment);
                }
                Action::LetGo { fragment } => {
                    let name = self.fragment(fragment.0);
                    self.get(who).content.remove(&name);
                    self.let_go += 1;
                }
                Action::Watch { .. }
                | Action::FindPeers { .. }
                | Action::Announce { .. }
                | Action::Withdraw { .. }
                | Action::Introduce { .. } => {}
            }
        }
    }

    /// Everybody hears it to whom there is a way over connections.
    fn publish(&mut self, who: &PeerId, heartbeat: &Heartbeat) {
        let mut heard = BTreeSet::from([who.clone()]);
        let mut next = vec![who.clone()];
        while let Some(one) = next.pop() {
            let links = self.inhabitants.get(&one).map(|it| it.links.clone());
            next.extend(
                links
                    .into_iter()
                    .flatten()
                    .filter(|it| heard.insert(it.clone())),
            );
        }
        heard.remove(who);
        for other in heard {
            let event = Event::Heartbeat {
                peer: who.clone(),
                heartbeat: heartbeat.clone(),
            };
            let after = self.latency * 2 + self.delay();
            self.plan(&other, after, Happening::Tell(event));
        }
    }

    /// What was fetched to be computed on is.
    fn keep(&mut self, who: &PeerId, download: DownloadId) {
        let now = self.now;
        let i = self.get(who);
        let Some(fragment) = i.taking.remove(&download) else {
            return;
        };
        let (name, bytes) = (i.wanted[&download], i.files[&download].clone());
        i.content.insert(name, Content::new(name, bytes.into()));
        i.node.add_holding(fragment, true, now);
        self.taken_up += 1;
    }

    /// An action in words, without its megabytes.
    fn describe(&self, who: &PeerId, action: &Action) -> String {
        let what = match action {
            Action::Write {
                download,
                offset,
                bytes,
            } => format!("Write {download:?} {offset} {}", bytes.len()),
            Action::Send { peer, message } => {
                format!("Send {peer:?} {} {}", message.kind(), message.size())
            }
            other => format!("{other:?}"),
        };
        format!("{:?} {who:?} {what}", self.now)
    }

    fn read(&mut self, who: &PeerId, ticket: Ticket, content: ContentId, block: Option<u32>) {
        let i = self.get(who);
        let corrupt = i.manner == Manner::Corrupt;
        let mut result = i.content.get(&content).and_then(|all| all.block(block));
        if let (true, Some(block)) = (corrupt, &mut result) {
            let mut bytes = block.bytes.to_vec();
            bytes[0] ^= 1;
            block.bytes = bytes.into();
        }
        self.plan(
            who,
            MS,
            Happening::Tell(Event::ContentRead { ticket, result }),
        );
    }
}
