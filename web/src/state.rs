//! What the user interface knows and shows: signals, and the few ways they change.

mod chat;
mod contribution;
mod conversations;
mod ledger;
mod series;
mod settings;

use leptos::prelude::*;
use web_bridge::{
    messages::ToEngine,
    status::{Link, Problem, Row, Stage, Status},
};

pub(crate) use chat::{Chat, Message};
pub(crate) use contribution::{Contributing, Device, Hours, Part};
pub(crate) use conversations::Conversations;
pub(crate) use ledger::{Day, Ledger};
pub(crate) use series::{Count, Rate, Series, median};
pub(crate) use settings::{Settings, Theme};

use crate::{
    i18n::{Language, Text},
    invite::Swarm,
};

/// The parts of the application one can go to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum View {
    Chat,
    Contribute,
    Network,
    Share,
    Settings,
}

impl View {
    pub(crate) const ALL: [Self; 5] = [
        Self::Chat,
        Self::Contribute,
        Self::Network,
        Self::Share,
        Self::Settings,
    ];

    /// Name in attributes, for styles and tests.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Chat => "chat",
            Self::Contribute => "contribute",
            Self::Network => "network",
            Self::Share => "share",
            Self::Settings => "settings",
        }
    }
}

/// What happened while nobody saw the page.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub(crate) struct Unseen {
    pub(crate) milliseconds: f64,
    pub(crate) answered: u64,
}

/// Where a visitor stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Screen {
    /// Finding out which network this page belongs to.
    Looking,
    /// There is none: ask for an invite link.
    NoSwarm,
    /// First visit: what this is, how much to lend.
    Welcome,
    /// Downloading, the first time.
    Joining,
    /// The application proper.
    Main,
}

impl Screen {
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Looking => "looking",
            Self::NoSwarm => "no-swarm",
            Self::Welcome => "welcome",
            Self::Joining => "joining",
            Self::Main => "main",
        }
    }
}

/// Where the user's wishes go.
pub(crate) type Sender = std::rc::Rc<dyn Fn(&ToEngine)>;

/// Everything the user interface knows. Handed down by context; copies are the same thing.
#[derive(Clone, Copy)]
pub(crate) struct Ui {
    pub(crate) language: RwSignal<Language>,
    pub(crate) settings: RwSignal<Settings>,
    pub(crate) screen: RwSignal<Screen>,
    pub(crate) view: RwSignal<View>,
    pub(crate) swarm: RwSignal<Option<Swarm>>,
    pub(crate) status: RwSignal<Status>,
    /// Where in the picture of the model its fragments are.
    pub(crate) rows: RwSignal<Vec<Row>>,
    /// What the device says of itself.
    pub(crate) device: RwSignal<Device>,
    /// Whether it contributes now, or why not.
    pub(crate) contributing: Memo<Contributing>,
    /// What this browser has contributed.
    pub(crate) ledger: RwSignal<Ledger>,
    /// The last minutes in numbers.
    pub(crate) series: RwSignal<Series>,
    /// How long nobody has seen the page since it was opened, and the requests answered meanwhile.
    pub(crate) unseen: RwSignal<Unseen>,
    pub(crate) online: RwSignal<bool>,
    /// This tab's peer id, once it has one.
    pub(crate) peer: RwSignal<Option<String>>,
    /// The workers could not be started.
    pub(crate) broken: RwSignal<Option<String>>,
    /// Why an entry point of the network does not answer.
    pub(crate) unreachable: RwSignal<Option<String>>,
    /// A newer version of the application waits.
    pub(crate) update: RwSignal<bool>,
    /// Connection to the network, the browser's own opinion included.
    pub(crate) link: Memo<Link>,
    /// Whether a question can be asked.
    pub(crate) can_ask: Memo<bool>,
    pub(crate) chat: Chat,
    pub(crate) conversations: Conversations,
    engine: StoredValue<Option<Sender>, LocalStorage>,
}

impl Ui {
    pub(crate) fn new(settings: Settings, language: Language) -> Self {
        let (status, online) = (RwSignal::new(Status::default()), RwSignal::new(true));
        let link = move |_: Option<&Link>| {
            if online.get() {
                status.with(|status| status.link)
            } else {
                Link::Offline
            }
        };
        let model = settings.swarm.as_ref().map(|swarm| swarm.model.clone());
        let conversations = Conversations::new();
        let chat = Chat::restore(model.as_deref(), conversations);
        let settings = RwSignal::new(settings);
        let device = RwSignal::new(Device {
            hour: crate::platform::device::hour(),
            ..Device::default()
        });
        let contributing = Memo::new(move |_| {
            let (part, when) = settings.with(|settings| (settings.part, settings.when));
            Contributing::now(part, when, device.get())
        });
        Self {
            language: RwSignal::new(language),
            settings,
            rows: RwSignal::new(Vec::new()),
            device,
            contributing,
            ledger: RwSignal::new(Ledger::load()),
            series: RwSignal::new(Series::default()),
            unseen: RwSignal::new(Unseen::default()),
            screen: RwSignal::new(Screen::Looking),
            view: RwSignal::new(View::Chat),
            swarm: RwSignal::new(None),
            status,
            online,
            peer: RwSignal::new(None),
            broken: RwSignal::new(None),
            unreachable: RwSignal::new(None),
            update: RwSignal::new(false),
            link: Memo::new(link),
            can_ask: Memo::new(move |_| status.with(answerable)),
            chat,
            conversations,
            engine: StoredValue::new_local(None),
        }
    }

    /// The phrases of the current language. A change of language makes every view anew, hence untracked.
    pub(crate) fn t(self) -> &'static Text {
        self.language.get_untracked().text()
    }

    /// The model of the network that this page belongs to, by its id.
    pub(crate) fn model(self) -> Option<String> {
        let model = |swarm: &Swarm| swarm.model.clone();
        self.swarm.with_untracked(|swarm| swarm.as_ref().map(model))
    }

    /// Changes the settings and keeps them.
    pub(crate) fn set(self, change: impl FnOnce(&mut Settings)) {
        self.settings.update(change);
        self.settings.with_untracked(Settings::save);
    }

    /// How many fragments this tab lends now, as it contributes or does not.
    pub(crate) fn lends(self) -> u32 {
        match self.contributing.get_untracked() {
            Contributing::Yes => self.settings.with_untracked(|settings| settings.lend),
            _ => 0,
        }
    }

    /// From now on wishes go to this engine.
    pub(crate) fn connect(self, engine: Sender) {
        self.engine.set_value(Some(engine));
    }

    /// Tells the engine; without one, nothing happens.
    pub(crate) fn tell(self, wish: &ToEngine) {
        if let Some(engine) = self.engine.get_value() {
            engine(wish);
        }
    }

    /// A worker has ended where it should not: the page must be loaded anew.
    pub(crate) fn crashed(self, reason: String) {
        self.chat.give_up(Problem::Other(reason.clone()));
        self.broken.set(Some(reason));
    }

    /// Shows a part of the application; the browser's back button leads back.
    pub(crate) fn go(self, view: View) {
        if self.view.get_untracked() != view {
            crate::platform::history::push(view.name());
            self.view.set(view);
        }
    }
}

/// The state, from the context every view has.
pub(crate) fn ui() -> Ui {
    expect_context()
}

/// Whether a question would find somebody to answer it: others, or this tab alone if it holds the whole model.
fn answerable(status: &Status) -> bool {
    let alone = !status.coverage.is_empty() && status.coverage.iter().all(|holders| *holders > 0);
    status.stage >= Stage::Lent && (status.link == Link::Connected || alone)
}
