//! The conversation of this tab. A reload keeps it, closing the tab forgets it.

use leptos::prelude::*;
use serde::{Deserialize, Serialize};
use web_bridge::{
    messages::{Drawing, Speaker, ToEngine, Turn},
    status::{EndReason, Ending, Problem},
};

use super::Ui;
use crate::platform::{clock, storage};

const KEY: &str = "iap2p.chat";
/// The answer on its way, apart from the conversation because it is kept with every token.
const KEY_ANSWER: &str = "iap2p.answer";
/// A conversation whose last answer another device finishes: for whichever tab is opened next.
const KEY_ELSEWHERE: &str = "iap2p.elsewhere";

/// What comes with each token nobody can read: it stays for so many milliseconds.
const READABLE: f64 = 3000.0;

/// One contribution, as shown.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Message {
    pub(crate) id: u32,
    pub(crate) speaker: Speaker,
    pub(crate) text: RwSignal<String>,
    /// What the model thought before it answered.
    pub(crate) thoughts: RwSignal<String>,
    /// How the answer ended; `None` while it grows, and for questions.
    pub(crate) ending: RwSignal<Option<Ending>>,
}

/// The conversation.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Chat {
    pub(crate) messages: RwSignal<Vec<Message>>,
    /// What is being typed.
    pub(crate) draft: RwSignal<String>,
    /// An answer is on its way.
    pub(crate) busy: RwSignal<bool>,
    /// Tokens of the question that were read, of how many; until the answer begins.
    pub(crate) reading: RwSignal<Option<(u32, u32)>>,
    /// Requests of others that are before the answer's, and the seconds they take; for a while.
    pub(crate) queue: RwSignal<Option<(u32, f64)>>,
    /// When that was last said.
    queued: StoredValue<f64>,
    /// Another device finishes the answer, or is asked to (`false`).
    pub(crate) elsewhere: RwSignal<Option<bool>>,
    /// Tokens per second so far of the answer on its way.
    pub(crate) speed: RwSignal<Option<f64>>,
    /// Tokens so far, and when the first of them came.
    progress: StoredValue<(u32, f64)>,
    next: StoredValue<u32>,
    /// What it takes to go on with the answer on its way after a reload.
    answering: StoredValue<Option<Answering>>,
    /// The page was loaded anew in mid-answer, and nobody goes on with it yet.
    interrupted: StoredValue<bool>,
}

/// An answer on its way.
#[derive(Debug, Clone, Serialize, Deserialize)]
struct Answering {
    drawing: Drawing,
    approximate: bool,
    /// Its tokens so far, and what they say.
    tokens: Vec<u32>,
    text: String,
    thoughts: String,
    /// If another device finishes it.
    #[serde(default)]
    job: Option<Job>,
}

/// An answer that another device finishes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Job {
    name: [u8; 16],
    model: String,
    /// How many tokens were said before, and how long their texts are.
    tokens: usize,
    text: usize,
    thoughts: usize,
}

/// What another tab needs to show it.
#[derive(Serialize, Deserialize)]
struct Elsewhere {
    conversation: Vec<Kept>,
    answering: Answering,
}

#[derive(Serialize, Deserialize)]
struct Kept {
    speaker: Speaker,
    text: String,
    #[serde(default)]
    thoughts: String,
    ending: Option<Ending>,
}

impl Kept {
    fn new(speaker: Speaker, text: String) -> Self {
        Self {
            speaker,
            text,
            thoughts: String::new(),
            ending: None,
        }
    }
}

impl Elsewhere {
    /// The one that was given away by a tab of this browser.
    fn kept(model: Option<&str>) -> Option<Self> {
        let text = storage::browser().get(KEY_ELSEWHERE)?;
        let found: Self = serde_json::from_str(&text).ok()?;
        let job = found.answering.job.as_ref()?;
        (Some(job.model.as_str()) == model).then_some(found)
    }
}

impl Chat {
    /// The conversation this tab had before it was reloaded; or else one with this model whose last answer another device
    /// finishes.
    pub(crate) fn restore(model: Option<&str>) -> Self {
        let chat = Self {
            messages: RwSignal::new(Vec::new()),
            draft: RwSignal::new(String::new()),
            busy: RwSignal::new(false),
            reading: RwSignal::new(None),
            queue: RwSignal::new(None),
            queued: StoredValue::new(0.0),
            elsewhere: RwSignal::new(None),
            speed: RwSignal::new(None),
            progress: StoredValue::new((0, 0.0)),
            next: StoredValue::new(0),
            answering: StoredValue::new(None),
            interrupted: StoredValue::new(false),
        };
        let kept: Option<Vec<Kept>> = storage::tab()
            .get(KEY)
            .and_then(|text| serde_json::from_str(&text).ok());
        let answering: Option<Answering> = storage::tab()
            .get(KEY_ANSWER)
            .and_then(|text| serde_json::from_str(&text).ok());
        let (kept, answering) = match kept {
            Some(kept) => (kept, answering),
            None => match Elsewhere::kept(model) {
                Some(found) => (found.conversation, Some(found.answering)),
                None => (Vec::new(), None),
            },
        };
        kept.into_iter().for_each(|kept| chat.append(kept));
        let last = chat
            .messages
            .with_untracked(|messages| messages.last().copied());
        let unfinished = last.filter(|last| {
            last.speaker == Speaker::Assistant && last.ending.get_untracked().is_none()
        });
        if let (Some(answering), Some(message)) = (answering, unfinished) {
            message.text.set(answering.text.clone());
            message.thoughts.set(answering.thoughts.clone());
            chat.elsewhere.set(answering.job.as_ref().map(|_| true));
            chat.answering.set_value(Some(answering));
            chat.busy.set(true);
            chat.interrupted.set_value(true);
        }
        chat
    }

    /// Goes on with the answer that a reload has interrupted, as soon as a question could be asked.
    pub(crate) fn go_on(self, ui: Ui) {
        if !self.interrupted.get_value() {
            return;
        }
        self.interrupted.set_value(false);
        let Some(answering) = self.answering.get_value() else {
            return;
        };
        let answer = self.next.get_value() - 1;
        if let Some(job) = answering.job {
            if Some(&job.model) != ui.model().as_ref() {
                // It is looked for when this model's network is joined again.
                return self.put_aside();
            }
            let said = answering.tokens[..job.tokens.min(answering.tokens.len())].to_vec();
            let job = job.name;
            return ui.tell(&ToEngine::LookFor { answer, job, said });
        }
        self.resume(ui, answer, answering);
    }

    /// Goes on with an answer behind what was said.
    fn resume(self, ui: Ui, answer: u32, answering: Answering) {
        let Answering {
            drawing,
            approximate,
            tokens,
            ..
        } = answering;
        // Without what was said: that is not a turn yet.
        let turns = self.turns_before(answer);
        ui.tell(&ToEngine::Ask {
            answer,
            turns,
            said: tokens,
            drawing,
            approximate,
        });
    }

    /// The user has read enough.
    pub(crate) fn stop(self, ui: Ui) {
        if !self.interrupted.get_value() {
            return ui.tell(&ToEngine::Stop);
        }
        // Nobody makes it at present.
        self.end_as_it_is(self.next.get_value() - 1);
    }

    /// Nothing is added to what was said of an answer.
    fn end_as_it_is(self, answer: u32) {
        let tokens = self
            .answering
            .with_value(|it| it.as_ref().map_or(0, |it| it.tokens.len() as u32));
        let ending = Ending {
            reason: EndReason::Stopped,
            tokens,
            before: tokens,
            ..Ending::failed(Problem::NotReady)
        };
        self.end(answer, ending);
    }

    /// What of the answer on its way a reload leaves.
    fn save_answer(self) {
        self.answering.with_value(|answering| {
            if let Some(text) = answering
                .as_ref()
                .and_then(|answering| serde_json::to_string(answering).ok())
            {
                storage::tab().set(KEY_ANSWER, &text);
            }
        });
    }

    /// Has another device finish the answer on its way, so that this page may be closed.
    pub(crate) fn give_away(self, ui: Ui) {
        let Some(name) = clock::secret() else {
            return;
        };
        let Some(model) = ui.model() else {
            return;
        };
        if !self.busy.get_untracked() || self.elsewhere.get_untracked().is_some() {
            return;
        }
        self.answering.update_value(|answering| {
            if let Some(answering) = answering {
                answering.job = Some(Job {
                    name,
                    model,
                    tokens: answering.tokens.len(),
                    text: answering.text.len(),
                    thoughts: answering.thoughts.len(),
                });
            }
        });
        self.elsewhere.set(Some(false));
        self.speed.set(None);
        self.save_answer();
        self.save_elsewhere();
        let answer = self.next.get_value() - 1;
        ui.tell(&ToEngine::GiveAway { answer, job: name });
    }

    /// Another device has come so far.
    pub(crate) fn grow_elsewhere(self, answer: u32, tokens: &[u32], text: &str, thoughts: &str) {
        let Some(message) = self.growing(answer) else {
            return;
        };
        let behind = |said: &mut String, before: usize, more: &str| {
            // What was said before ends where a character does.
            said.truncate(said.floor_char_boundary(before));
            said.push_str(more);
        };
        self.answering.update_value(|answering| {
            if let Some(answering) = answering
                && let Some(job) = answering.job.clone()
            {
                answering.tokens.truncate(job.tokens);
                answering.tokens.extend(tokens);
                behind(&mut answering.text, job.text, text);
                behind(&mut answering.thoughts, job.thoughts, thoughts);
                message.text.set(answering.text.clone());
                message.thoughts.set(answering.thoughts.clone());
            }
        });
        self.elsewhere.set(Some(true));
        self.queue.set(None);
        self.save_answer();
    }

    /// No other device finishes the answer: this one does, behind what was said.
    pub(crate) fn not_elsewhere(self, ui: Ui, answer: u32) {
        if self.growing(answer).is_none() {
            return;
        }
        let finished = self.elsewhere.get_untracked() == Some(true)
            && storage::browser().get(KEY_ELSEWHERE).is_none();
        self.elsewhere.set(None);
        storage::browser().remove(KEY_ELSEWHERE);
        self.answering.update_value(|answering| {
            if let Some(answering) = answering {
                answering.job = None;
            }
        });
        self.save_answer();
        if finished {
            // Another tab has had it.
            return self.end_as_it_is(answer);
        }
        if let Some(answering) = self.answering.get_value() {
            self.resume(ui, answer, answering);
        }
    }

    /// The conversation is not shown here, but stays where another tab finds it.
    fn put_aside(self) {
        self.elsewhere.set(None);
        self.busy.set(false);
        self.messages.set(Vec::new());
        self.forget_answer();
    }

    /// What another tab needs, if this one is closed.
    fn save_elsewhere(self) {
        if let Some(answering) = self.answering.get_value() {
            let conversation = self.kept();
            let elsewhere = Elsewhere {
                conversation,
                answering,
            };
            if let Ok(text) = serde_json::to_string(&elsewhere) {
                storage::browser().set(KEY_ELSEWHERE, &text);
            }
        }
    }

    /// There is no answer on its way any more.
    fn forget_answer(self) {
        if self.elsewhere.get_untracked().is_some() {
            storage::browser().remove(KEY_ELSEWHERE);
            self.elsewhere.set(None);
        }
        self.answering.set_value(None);
        self.interrupted.set_value(false);
        storage::tab().remove(KEY_ANSWER);
    }

    fn append(self, kept: Kept) {
        let id = self.next.get_value();
        self.next.set_value(id + 1);
        let message = Message {
            id,
            speaker: kept.speaker,
            text: RwSignal::new(kept.text),
            thoughts: RwSignal::new(kept.thoughts),
            ending: RwSignal::new(kept.ending),
        };
        self.messages.update(|messages| messages.push(message));
    }

    fn kept(self) -> Vec<Kept> {
        self.messages.with_untracked(|messages| {
            let keep = |message: &Message| Kept {
                speaker: message.speaker,
                text: message.text.get_untracked(),
                thoughts: message.thoughts.get_untracked(),
                ending: message.ending.get_untracked(),
            };
            messages.iter().map(keep).collect()
        })
    }

    fn save(self) {
        if let Ok(text) = serde_json::to_string(&self.kept()) {
            storage::tab().set(KEY, &text);
        }
    }

    /// Asks the model; the answer grows at the end of the conversation.
    pub(crate) fn ask(self, ui: Ui, question: &str) {
        let question = question.trim();
        if question.is_empty() || self.busy.get_untracked() {
            return;
        }
        self.append(Kept::new(Speaker::User, question.to_owned()));
        self.answer(ui);
    }

    /// Asks the last question again, in place of its answer.
    pub(crate) fn retry(self, ui: Ui) {
        if self.busy.get_untracked() {
            return;
        }
        self.messages.update(|messages| {
            while messages
                .last()
                .is_some_and(|message| message.speaker == Speaker::Assistant)
            {
                messages.pop();
            }
        });
        if self
            .messages
            .with_untracked(|messages| !messages.is_empty())
        {
            self.answer(ui);
        }
    }

    fn answer(self, ui: Ui) {
        let turns = self.turns_before(self.next.get_value());
        self.append(Kept::new(Speaker::Assistant, String::new()));
        self.busy.set(true);
        self.reading.set(None);
        self.queue.set(None);
        self.speed.set(None);
        self.progress.set_value((0, 0.0));
        self.save();
        let (greedy, max_tokens, approximate) = ui.settings.with_untracked(|settings| {
            (settings.greedy, settings.max_tokens, settings.approximate)
        });
        let drawing = Drawing {
            temperature: if greedy { 0.0 } else { 0.7 },
            max_tokens,
            seed: clock::seed(),
        };
        self.answering.set_value(Some(Answering {
            drawing,
            approximate,
            tokens: Vec::new(),
            text: String::new(),
            thoughts: String::new(),
            job: None,
        }));
        self.save_answer();
        let answer = self.next.get_value() - 1;
        ui.tell(&ToEngine::Ask {
            answer,
            turns,
            said: Vec::new(),
            drawing,
            approximate,
        });
    }

    /// What was said before the message of this number.
    fn turns_before(self, end: u32) -> Vec<Turn> {
        self.messages.with_untracked(|messages| {
            let turn = |message: &Message| Turn {
                speaker: message.speaker,
                text: message.text.get_untracked(),
            };
            let mut turns: Vec<Turn> = Vec::new();
            // An unanswered question and an answer that never began would leave two turns of one speaker in a row,
            // which templates refuse.
            for turn in messages
                .iter()
                .filter(|message| message.id < end)
                .map(turn)
                .filter(|turn| !turn.text.is_empty())
            {
                match turns.last_mut() {
                    Some(last) if last.speaker == turn.speaker => *last = turn,
                    _ => turns.push(turn),
                }
            }
            turns
        })
    }

    /// The question is being read.
    pub(crate) fn read(self, answer: u32, read: u32, total: u32) {
        if self.growing(answer).is_some() {
            self.queue.set(None);
            self.reading.set((read < total).then_some((read, total)));
        }
    }

    /// Others are before the answer.
    pub(crate) fn wait_behind(self, answer: u32, before: u32, seconds: f64) {
        if self.growing(answer).is_some() {
            self.queue.set(Some((before, seconds)));
            self.queued.set_value(clock::now());
        }
    }

    /// An answer, or what is thought before it, grows by one token's text.
    pub(crate) fn grow(self, answer: u32, token: u32, piece: &str, thought: bool) {
        let Some(message) = self.growing(answer) else {
            return;
        };
        let text = if thought {
            message.thoughts
        } else {
            message.text
        };
        text.update(|text| text.push_str(piece));
        self.answering.update_value(|answering| {
            if let Some(answering) = answering {
                answering.tokens.push(token);
                let text = if thought {
                    &mut answering.thoughts
                } else {
                    &mut answering.text
                };
                text.push_str(piece);
            }
        });
        self.save_answer();
        let now = clock::now();
        // With each token there may be others before it.
        if self.queue.get_untracked().is_some() && now - self.queued.get_value() > READABLE {
            self.queue.set(None);
        }
        let (tokens, first) = self.progress.get_value();
        if tokens == 0 {
            self.progress.set_value((1, now));
        } else {
            self.progress.set_value((tokens + 1, first));
            self.speed
                .set(Some(f64::from(tokens) * 1000.0 / (now - first).max(1.0)));
        }
    }

    /// An answer is over.
    pub(crate) fn end(self, answer: u32, ending: Ending) {
        let Some(message) = self.growing(answer) else {
            return;
        };
        message.ending.set(Some(ending));
        self.queue.set(None);
        self.busy.set(false);
        self.save();
        self.forget_answer();
    }

    /// The answer under way will not come any more.
    pub(crate) fn give_up(self, problem: Problem) {
        let last = self
            .messages
            .with_untracked(|messages| messages.last().map(|last| last.id));
        if let Some(last) = last {
            self.end(last, Ending::failed(problem));
        }
    }

    /// Starts over.
    pub(crate) fn clear(self, ui: Ui) {
        if self.busy.get_untracked() {
            ui.tell(&ToEngine::Stop);
            self.busy.set(false);
        }
        self.messages.set(Vec::new());
        storage::tab().remove(KEY);
        self.forget_answer();
    }

    /// The message an answer goes to; `None` when the user has moved on meanwhile.
    fn growing(self, answer: u32) -> Option<Message> {
        let last = self
            .messages
            .with_untracked(|messages| messages.last().copied())?;
        (self.busy.get_untracked() && last.id == answer).then_some(last)
    }
}
