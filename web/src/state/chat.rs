//! The conversation that this tab shows. A reload keeps it at once; the archive keeps it for whichever tab comes later.

mod elsewhere;
mod kept;

use leptos::prelude::*;
use web_bridge::{
    messages::{Speaker, ToEngine, Turn},
    status::{EndReason, Ending, Problem},
};

use super::{Conversations, Ui};
use crate::{
    i18n::Text,
    platform::{clock, storage},
};
pub(super) use kept::texts;
use kept::{Answering, Conversation, KEY, KEY_ANSWER, KEY_ELSEWHERE, KEY_ID, Kept};

/// So often an answer that grows is kept in the archive, in milliseconds.
const ARCHIVE: f64 = 2000.0;
/// How much of a question is the title of its conversation.
const TITLE: usize = 60;

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
    /// Its name in the archive, once something was said.
    pub(crate) id: RwSignal<Option<String>>,
    archive: Conversations,
    /// To whom signals belong that live as long as the page.
    owner: StoredValue<Owner>,
    /// When the answer on its way was last kept there.
    archived: StoredValue<f64>,
    /// What it takes to go on with the answer on its way after a reload.
    answering: StoredValue<Option<Answering>>,
    /// The page was loaded anew in mid-answer, and nobody goes on with it yet.
    interrupted: StoredValue<bool>,
}

impl Chat {
    /// The conversation this tab had before it was reloaded; or else one with this model whose last answer another device
    /// finishes.
    pub(crate) fn restore(model: Option<&str>, archive: Conversations) -> Self {
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
            id: RwSignal::new(None),
            archive,
            owner: StoredValue::new(Owner::current().unwrap_or_default()),
            archived: StoredValue::new(0.0),
            answering: StoredValue::new(None),
            interrupted: StoredValue::new(false),
        };
        chat.show(Conversation::of_tab(model));
        if let Some(id) = chat.id.get_untracked() {
            leptos::task::spawn_local(chat.keep_to_itself(id));
        }
        chat
    }

    /// Shows a conversation in place of another.
    fn show(self, conversation: Conversation) {
        self.messages.set(Vec::new());
        self.id.set(conversation.id);
        conversation
            .messages
            .into_iter()
            .for_each(|kept| self.append(kept));
        let last = self
            .messages
            .with_untracked(|messages| messages.last().copied());
        let unfinished = last.filter(|last| {
            last.speaker == Speaker::Assistant && last.ending.get_untracked().is_none()
        });
        if let (Some(answering), Some(message)) = (conversation.answering, unfinished) {
            message.text.set(answering.text.clone());
            message.thoughts.set(answering.thoughts.clone());
            self.elsewhere.set(answering.job.as_ref().map(|_| true));
            self.answering.set_value(Some(answering));
            self.busy.set(true);
            self.interrupted.set_value(true);
        } else if let Some(message) = unfinished {
            // Nobody knows how to go on with it.
            let reason = EndReason::Stopped;
            message.ending.set(Some(Ending {
                reason,
                ..Ending::failed(Problem::NotReady)
            }));
        }
    }

    /// This tab's conversation is no other tab's: of a tab that was copied, one goes on under another name.
    async fn keep_to_itself(self, id: String) {
        const PAGE_GOES: std::time::Duration = std::time::Duration::from_secs(1);
        if self.archive.claim(&id).await {
            return;
        }
        // The page before a reload has it for a moment still.
        clock::sleep(PAGE_GOES).await;
        if self.archive.claim(&id).await || self.id.get_untracked() != Some(id) {
            return;
        }
        self.id.set(None);
        self.save();
    }

    /// Nothing was said and nothing is being typed.
    pub(crate) fn is_untouched(self) -> bool {
        self.messages.with_untracked(Vec::is_empty) && self.draft.with_untracked(String::is_empty)
    }

    /// Shows a conversation of the archive; says whether it could be had.
    pub(crate) async fn open(self, ui: Ui, id: String) -> bool {
        if !self.archive.claim(&id).await {
            return false;
        }
        let body = self.archive.body(&id).await;
        let found = body.and_then(|text| Conversation::from_archive(id, &text));
        let Some(found) = found else {
            return false;
        };
        self.leave(ui);
        self.show(found);
        self.save_in_tab();
        self.save_answer();
        if ui.can_ask.get_untracked() {
            self.go_on(ui);
        }
        true
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
        let now = clock::now();
        if now - self.archived.get_value() > ARCHIVE {
            self.archived.set_value(now);
            self.save_in_archive();
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
        // They belong to the page, not to the part of it in which somebody has asked: that may be gone before them.
        let message = self.owner.with_value(|owner| {
            owner.with(|| Message {
                id,
                speaker: kept.speaker,
                text: RwSignal::new(kept.text),
                thoughts: RwSignal::new(kept.thoughts),
                ending: RwSignal::new(kept.ending),
            })
        });
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

    fn conversation(self) -> Conversation {
        Conversation {
            id: self.id.get_untracked(),
            messages: self.kept(),
            answering: self.answering.get_value(),
        }
    }

    fn save(self) {
        self.save_in_tab();
        self.save_in_archive();
    }

    fn save_in_tab(self) {
        if let Ok(text) = serde_json::to_string(&self.kept()) {
            storage::tab().set(KEY, &text);
        }
        match self.id.get_untracked() {
            Some(id) => storage::tab().set(KEY_ID, &id),
            None => storage::tab().remove(KEY_ID),
        }
    }

    fn save_in_archive(self) {
        let conversation = self.conversation();
        let Some(first) = conversation.messages.first() else {
            return;
        };
        let id = conversation.id.clone().unwrap_or_else(|| {
            let id = clock::name();
            self.id.set(Some(id.clone()));
            storage::tab().set(KEY_ID, &id);
            leptos::task::spawn_local(async move {
                // Nobody else knows the name yet.
                self.archive
                    .claim(&self.id.get_untracked().unwrap_or_default())
                    .await;
            });
            id
        });
        let title = title(&first.text);
        let unfinished = self.busy.get_untracked();
        self.archive
            .keep(id, title, conversation.to_text(), unfinished);
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
        self.append(Kept::new(Speaker::Assistant, String::new()));
        self.busy.set(true);
        self.reading.set(None);
        self.queue.set(None);
        self.speed.set(None);
        self.progress.set_value((0, 0.0));
        self.save();
        let (drawing, approximate, system) = ui.settings.with_untracked(|settings| {
            let drawing = settings.drawing(clock::seed);
            (
                drawing,
                settings.approximate,
                settings.system.trim().to_owned(),
            )
        });
        self.answering.set_value(Some(Answering {
            drawing,
            approximate,
            system,
            tokens: Vec::new(),
            text: String::new(),
            thoughts: String::new(),
            job: None,
        }));
        self.save_answer();
        let answer = self.next.get_value() - 1;
        let turns = self.turns_before(answer);
        ui.tell(&ToEngine::Ask {
            answer,
            turns,
            said: Vec::new(),
            drawing,
            approximate,
        });
    }

    /// Says something else in place of a question, and all that came of it.
    pub(crate) fn edit(self, ui: Ui, message: u32, question: &str) {
        if question.trim().is_empty() || self.busy.get_untracked() {
            return;
        }
        self.messages
            .update(|messages| messages.retain(|it| it.id < message));
        self.ask(ui, question);
    }

    /// What was said before the message of this number.
    fn turns_before(self, end: u32) -> Vec<Turn> {
        self.messages.with_untracked(|messages| {
            let turn = |message: &Message| Turn {
                speaker: message.speaker,
                text: message.text.get_untracked(),
            };
            let system = self
                .answering
                .with_value(|it| it.as_ref().map(|it| it.system.clone()));
            let system = system.filter(|text| !text.is_empty());
            let system = system.map(|text| Turn {
                speaker: Speaker::System,
                text,
            });
            let mut turns: Vec<Turn> = system.into_iter().collect();
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

    /// A conversation of the archive as Markdown, for people.
    pub(crate) async fn exported(self, id: &str, title: &str, t: &Text) -> Option<String> {
        let body = self.archive.body(id).await?;
        let found = Conversation::from_archive(id.to_owned(), &body)?;
        let said = found.messages.iter().map(|kept| {
            let who = match kept.speaker {
                Speaker::Assistant => t.model,
                Speaker::User | Speaker::System => t.you,
            };
            format!("\n**{who}**\n\n{}\n", kept.text.trim())
        });
        Some(format!("# {title}\n{}", said.collect::<String>()))
    }

    /// Starts over; what was said is in the archive.
    pub(crate) fn clear(self, ui: Ui) {
        self.leave(ui);
        self.begin_anew();
    }

    /// Nothing was said; what is said next is another conversation.
    fn begin_anew(self) {
        self.messages.set(Vec::new());
        self.id.set(None);
        self.archive.release();
        storage::tab().remove(KEY);
        storage::tab().remove(KEY_ID);
    }

    /// The conversation is not shown any longer: an answer on its way ends as it is.
    fn leave(self, ui: Ui) {
        if self.busy.get_untracked() {
            ui.tell(&ToEngine::Stop);
            self.end_as_it_is(self.next.get_value() - 1);
        }
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

/// The beginning of a question.
fn title(question: &str) -> String {
    let line = question.split_whitespace().collect::<Vec<_>>().join(" ");
    match line.char_indices().nth(TITLE) {
        Some((end, _)) => format!("{}…", line[..end].trim_end()),
        None => line,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_title_is_the_beginning_of_the_question() {
        assert_eq!(title("What is\n  a fragment?"), "What is a fragment?");
        let long = title(&"é".repeat(100));
        assert_eq!(long, format!("{}…", "é".repeat(TITLE)));
    }
}
