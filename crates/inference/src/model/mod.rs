//! A model, as its manifest describes it.

mod layout;
mod small;
mod tensors;

use fragments::{Fragment, Manifest, ModelId};
use gguf::{Header, MetadataError};

pub(crate) use layout::{Address, Attention, Layer, Layout};
pub(crate) use small::SmallLayer;
pub use small::SmallTensors;

use crate::{
    hyperparameters::{self, Hyperparameters, YarnLogMultiplier},
    template::{self, ChatTemplate, Date, Message},
    tokenizer::{self, Token, Tokenizer},
};

/// Why a model cannot be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// Its dimensions are not there, or not possible, or not supported.
    #[error(transparent)]
    Hyperparameters(#[from] hyperparameters::Error),
    /// Its vocabulary is not there or not supported.
    #[error(transparent)]
    Tokenizer(#[from] tokenizer::Error),
    /// Its chat template is not a text.
    #[error(transparent)]
    Metadata(#[from] MetadataError),
    /// A tensor this crate does not know how to use: without it the answer would be wrong.
    #[error("tensor {0:?} is not supported")]
    UnsupportedTensor(String),
    /// A tensor of a type no kernel multiplies.
    #[error("tensor {name:?} has the type {ty}, which is not supported")]
    UnsupportedType {
        /// The tensor.
        name: String,
        /// Its type.
        ty: gguf::TensorType,
    },
    /// A tensor the model cannot do without.
    #[error("the file lacks the tensor {0:?}")]
    MissingTensor(String),
    /// A tensor does not have the dimensions the metadata ask for.
    #[error("tensor {name:?} has the dimensions {found:?}, the metadata ask for {expected:?}")]
    Shape {
        /// The tensor.
        name: String,
        /// What the metadata ask for.
        expected: Vec<u64>,
        /// What the tensor has.
        found: Vec<u64>,
    },
    /// The fragments do not make up the model.
    #[error("the fragments of the model have no {0}")]
    Incomplete(String),
    /// The embedding has fewer rows than the vocabulary has pieces, or more.
    #[error("the vocabulary has {pieces} pieces, the model {rows}")]
    Vocabulary {
        /// Pieces of the vocabulary.
        pieces: usize,
        /// Rows of the embedding.
        rows: usize,
    },
    /// A small tensor is not in the fragments given, or not all of it.
    #[error("the fragments given lack the tensor {0:?}")]
    MissingSmallTensor(String),
    /// A small tensor cannot be read.
    #[error(transparent)]
    Kernel(#[from] kernels::Error),
}

/// Everything about a model that is known before a single weight is: dimensions, vocabulary, chat
/// template, and which fragment has what. Made once and shared.
#[derive(Debug)]
pub struct Model {
    manifest: Manifest,
    hyperparameters: Hyperparameters,
    tokenizer: Tokenizer,
    template: ChatTemplate,
    layout: Layout,
}

/// Refuses by name what is not supported: architecture, tensors, types. What passes can be computed, unless
/// its vocabulary is of an unknown kind.
pub fn check(header: &Header) -> Result<Hyperparameters, Error> {
    check_with(header, YarnLogMultiplier::default())
}

fn check_with(
    header: &Header,
    log_multiplier: YarnLogMultiplier,
) -> Result<Hyperparameters, Error> {
    let hyperparameters = Hyperparameters::with(header, log_multiplier)?;
    tensors::check(header, &hyperparameters)?;
    Ok(hyperparameters)
}

impl Model {
    /// Reads a manifest; refuses by name what is not supported.
    pub fn new(manifest: Manifest) -> Result<Self, Error> {
        Self::with(manifest, YarnLogMultiplier::default())
    }

    /// The same, for a model that is to answer otherwise than in llama.cpp. Whoever goes on with another's
    /// session must have chosen the same.
    pub fn with(manifest: Manifest, log_multiplier: YarnLogMultiplier) -> Result<Self, Error> {
        let header = manifest.header();
        let hyperparameters = check_with(header, log_multiplier)?;
        let tokenizer = Tokenizer::new(&header.metadata)?;
        let (pieces, rows) = (tokenizer.vocabulary().len(), hyperparameters.n_vocab);
        // A few files pad the embedding; no token may lack its row.
        if pieces > rows {
            return Err(Error::Vocabulary { pieces, rows });
        }
        let template = ChatTemplate::new(&header.metadata, &tokenizer)?;
        let layout = Layout::new(&manifest, &hyperparameters)?;
        Ok(Self {
            manifest,
            hyperparameters,
            tokenizer,
            template,
            layout,
        })
    }

    /// The model's name.
    pub fn id(&self) -> ModelId {
        self.manifest.id()
    }

    /// Its manifest.
    pub fn manifest(&self) -> &Manifest {
        &self.manifest
    }

    /// Its dimensions.
    pub fn hyperparameters(&self) -> &Hyperparameters {
        &self.hyperparameters
    }

    /// Its vocabulary.
    pub fn tokenizer(&self) -> &Tokenizer {
        &self.tokenizer
    }

    /// How it wants conversations to be put.
    pub fn template(&self) -> &ChatTemplate {
        &self.template
    }

    /// The tokens after which the model says the assistant's next message.
    pub fn encode_chat(
        &self,
        messages: &[Message],
        today: Option<Date>,
    ) -> Result<Vec<Token>, template::Error> {
        self.template.encode(&self.tokenizer, messages, today)
    }

    /// The fragments with small tensors, by their index in the manifest: an executor needs them whole
    /// before it can start.
    pub fn small_fragments(&self) -> &[u32] {
        &self.layout.small
    }

    /// Takes the small tensors out of the [`small_fragments`](Self::small_fragments), opened and verified,
    /// in their order.
    pub fn small_tensors<'a, B: AsRef<[u8]> + 'a>(
        &self,
        fragments: impl IntoIterator<Item = &'a Fragment<B>>,
    ) -> Result<SmallTensors, Error> {
        SmallTensors::read(self.manifest.header(), &self.hyperparameters, fragments)
    }

    pub(crate) fn layout(&self) -> &Layout {
        &self.layout
    }
}
