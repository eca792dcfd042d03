//! Models as swarms see them: fragments of two classes.

use fragments::{Class, DEFAULT_FRAGMENT_SIZE, Plan, PlanError};
use gguf::{Header, WriteError, Writer, generate::Preset};
use swarm::{Catalogue, ContentId, FragmentInfo, routing::Layer};

/// A model whose weights are nowhere.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Model {
    /// Its name in files' names.
    pub id: &'static str,
    /// Its name for people.
    pub name: &'static str,
    /// Its fragments.
    pub catalogue: Catalogue,
    /// What a token asks of them; nothing where only their numbers are known.
    pub layers: Vec<Layer>,
}

/// A model cannot be planned.
#[derive(Debug, thiserror::Error)]
pub enum ModelError {
    /// Its header cannot be written.
    #[error(transparent)]
    Write(#[from] WriteError),
    /// Its header cannot be read.
    #[error(transparent)]
    Header(#[from] gguf::Error),
    /// It cannot be cut.
    #[error(transparent)]
    Plan(#[from] PlanError),
}

impl Model {
    /// Magistral Small (24B) in Q4_K_M, as its header has it cut. Dense: every token needs all of it.
    ///
    /// # Errors
    /// Never, unless the built-in shape is broken.
    pub fn magistral() -> Result<Self, ModelError> {
        let writer = Preset::MagistralSmall2509.writer(None)?;
        Self::planned("magistral-small", "Magistral Small", &writer)
    }

    /// Mistral Large 3 (675B) in Q4_K_M, as its header has it cut.
    ///
    /// # Errors
    /// Never, unless the built-in shape is broken.
    pub fn mistral_large() -> Result<Self, ModelError> {
        let writer = Preset::MistralLarge3.writer(None)?;
        Self::planned("mistral-large-3", "Mistral Large 3", &writer)
    }

    /// The model for demonstrations, in fragments as small as the tests cut it.
    ///
    /// # Errors
    /// If its file is not what it should be.
    pub fn demo() -> Result<Self, ModelError> {
        const FILE: &[u8] = include_bytes!("../../demo-model/demo.gguf");
        const FRAGMENT: u32 = 128 << 10;
        let length = FILE.len() as u64;
        let header = Header::parse(FILE, Some(length))?;
        Self::cut("demo", "Demo", &header, length, FRAGMENT)
    }

    /// Mistral Large 3 as the project's first plan had it: 88 layers, 1,218 fragments for every token, 44,907 of 128 experts
    /// in each layer, of which two are used.
    #[must_use]
    pub fn first_plan() -> Self {
        let (always_active, conditional) = (1218, 44_907);
        let name = "Mistral Large 3, first plan";
        let bytes = DEFAULT_FRAGMENT_SIZE.into();
        Self {
            layers: steps::alike(88, always_active, conditional, 128, 2, bytes),
            ..Self::of_fragments("first-plan", name, always_active, conditional)
        }
    }

    /// A model of so many fragments of the usual size.
    #[must_use]
    pub fn of_fragments(
        id: &'static str,
        name: &'static str,
        always_active: usize,
        conditional: usize,
    ) -> Self {
        let classes = std::iter::repeat_n(true, always_active)
            .chain(std::iter::repeat_n(false, conditional))
            .map(|always_active| (DEFAULT_FRAGMENT_SIZE.into(), always_active));
        Self::new(id, name, classes)
    }

    fn planned(id: &'static str, name: &'static str, writer: &Writer) -> Result<Self, ModelError> {
        let header = Header::parse(&writer.header_bytes(), Some(writer.file_len()))?;
        Self::cut(id, name, &header, writer.file_len(), DEFAULT_FRAGMENT_SIZE)
    }

    fn cut(
        id: &'static str,
        name: &'static str,
        header: &Header,
        length: u64,
        fragment: u32,
    ) -> Result<Self, ModelError> {
        let plan = Plan::new(header, length, fragment)?;
        let classes = plan
            .fragments
            .iter()
            .map(|plan| (plan.file_len.into(), plan.class == Class::AlwaysActive));
        Ok(Self {
            layers: steps::shape(header, &plan).layers,
            ..Self::new(id, name, classes)
        })
    }

    /// There are no bytes to hash, so a fragment's name is a hash of its place.
    fn new(
        id: &'static str,
        name: &'static str,
        fragments: impl Iterator<Item = (u64, bool)>,
    ) -> Self {
        let info = |(index, (bytes, always_active)): (u32, _)| FragmentInfo {
            content: ContentId(*blake3::hash(&index.to_le_bytes()).as_bytes()),
            bytes,
            always_active,
        };
        let fragments = (0..).zip(fragments).map(info).collect();
        Self {
            id,
            name,
            catalogue: Catalogue { fragments },
            layers: Vec::new(),
        }
    }

    /// Fragments that every token needs, and the others.
    #[must_use]
    pub fn classes(&self) -> (usize, usize) {
        let always_active = self.catalogue.always_active();
        (
            always_active,
            self.catalogue.fragments.len() - always_active,
        )
    }
}
