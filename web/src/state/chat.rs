//! The conversation of this tab. A reload keeps it, closing the tab forgets it.

use leptos::prelude::*;
use serde::{Deserialize, Serialize};
use web_bridge::{
    messages::{Drawing, Speaker, ToEngine, Turn},
    status::{Ending, Problem},
};

use super::Ui;
use crate::platform::{clock, storage};

const KEY: &str = "iap2p.chat";

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
    /// Tokens per second so far of the answer on its way.
    pub(crate) speed: RwSignal<Option<f64>>,
    /// Tokens so far, and when the first of them came.
    progress: StoredValue<(u32, f64)>,
    next: StoredValue<u32>,
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

impl Chat {
    /// The conversation this tab had before it was reloaded.
    pub(crate) fn restore() -> Self {
        let chat = Self {
            messages: RwSignal::new(Vec::new()),
            draft: RwSignal::new(String::new()),
            busy: RwSignal::new(false),
            reading: RwSignal::new(None),
            speed: RwSignal::new(None),
            progress: StoredValue::new((0, 0.0)),
            next: StoredValue::new(0),
        };
        let kept: Option<Vec<Kept>> = storage::tab()
            .get(KEY)
            .and_then(|text| serde_json::from_str(&text).ok());
        for kept in kept.into_iter().flatten() {
            chat.append(kept);
        }
        chat
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

    fn save(self) {
        let kept: Vec<Kept> = self.messages.with_untracked(|messages| {
            let keep = |message: &Message| Kept {
                speaker: message.speaker,
                text: message.text.get_untracked(),
                thoughts: message.thoughts.get_untracked(),
                ending: message.ending.get_untracked(),
            };
            messages.iter().map(keep).collect()
        });
        if let Ok(text) = serde_json::to_string(&kept) {
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
        let turns = self.turns();
        self.append(Kept::new(Speaker::Assistant, String::new()));
        self.busy.set(true);
        self.reading.set(None);
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
        let answer = self.next.get_value() - 1;
        ui.tell(&ToEngine::Ask {
            answer,
            turns,
            drawing,
            approximate,
        });
    }

    fn turns(self) -> Vec<Turn> {
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
            self.reading.set((read < total).then_some((read, total)));
        }
    }

    /// An answer, or what is thought before it, grows by one token's text.
    pub(crate) fn grow(self, answer: u32, piece: &str, thought: bool) {
        let Some(message) = self.growing(answer) else {
            return;
        };
        let text = if thought {
            message.thoughts
        } else {
            message.text
        };
        text.update(|text| text.push_str(piece));
        let now = clock::now();
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
        self.busy.set(false);
        self.save();
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
    }

    /// The message an answer goes to; `None` when the user has moved on meanwhile.
    fn growing(self, answer: u32) -> Option<Message> {
        let last = self
            .messages
            .with_untracked(|messages| messages.last().copied())?;
        (self.busy.get_untracked() && last.id == answer).then_some(last)
    }
}
