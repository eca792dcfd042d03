//! An answer that another device finishes, so that the page may be closed meanwhile.

use leptos::prelude::*;
use web_bridge::messages::ToEngine;

use super::{
    super::Ui,
    Chat,
    kept::{Job, KEY_ELSEWHERE},
};
use crate::platform::{clock, storage};

impl Chat {
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
    pub(super) fn put_aside(self) {
        self.elsewhere.set(None);
        self.busy.set(false);
        self.forget_answer();
        self.begin_anew();
    }

    /// What another tab needs, if this one is closed.
    fn save_elsewhere(self) {
        if self.answering.with_value(Option::is_some) {
            storage::browser().set(KEY_ELSEWHERE, &self.conversation().to_text());
        }
    }
}
