use std::collections::HashMap;

use gguf::{Header, MAX_SPLIT_FILES, SplitError};
use prost::Message;

use crate::{
    fragment::{self, Fragment, FragmentError},
    id::{FragmentId, ModelId},
    model_files::Extent,
    plan::{Gaps, MAX_FRAGMENTS, MAX_PADDING, Plan, PlanError, gaps},
};

const MAGIC: &[u8; 7] = b"IAP2P-M";
const VERSION: u8 = 2;

/// The longest manifest: the longest header and the digests of the most fragments, with room for padding.
pub const MAX_MANIFEST_BYTES: usize = 192 << 20;

/// What identifies a model: its header and the digests of its fragments.
///
/// A manifest that was decoded is consistent: its header is well formed, it has a digest for each fragment of
/// the plan that follows from the header, and its bytes are the only ones that mean it.
#[derive(Clone, Debug)]
pub struct Manifest {
    id: ModelId,
    message: Encoded,
    header: Header,
    extents: Vec<Extent>,
    plan: Plan,
    gaps: Gaps,
    digests: Vec<FragmentId>,
    indices: HashMap<FragmentId, u32>,
}

#[derive(Clone, PartialEq, Message)]
struct Encoded {
    #[prost(uint32, tag = "1")]
    fragment_size: u32,
    #[prost(uint64, tag = "2")]
    file_len: u64,
    #[prost(bytes = "vec", tag = "3")]
    sha256: Vec<u8>,
    /// The start of the file up to the tensors.
    #[prost(bytes = "vec", tag = "4")]
    header: Vec<u8>,
    /// All padding, one after the other; empty if it is all zero.
    #[prost(bytes = "vec", tag = "5")]
    padding: Vec<u8>,
    /// 32 bytes for each fragment.
    #[prost(bytes = "vec", tag = "6")]
    digests: Vec<u8>,
    /// The files of a model that was split; empty for a model in one file.
    #[prost(message, repeated, tag = "7")]
    files: Vec<EncodedFile>,
    /// Folders on web servers that have the fragments, too.
    #[prost(string, repeated, tag = "8")]
    web_seeds: Vec<String>,
}

#[derive(Clone, Copy, PartialEq, Message)]
struct EncodedFile {
    #[prost(uint64, tag = "1")]
    header_len: u64,
    #[prost(uint64, tag = "2")]
    file_len: u64,
}

/// Bytes are not a manifest.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ManifestError {
    /// The first bytes are not those of a manifest.
    #[error("not a manifest")]
    NotAManifest,
    /// A version of the format this crate does not read.
    #[error("version {0} of the manifest format is not supported")]
    UnsupportedVersion(u8),
    /// Longer than [`MAX_MANIFEST_BYTES`].
    #[error("the manifest is longer than {MAX_MANIFEST_BYTES} bytes")]
    TooLong,
    /// It cannot be decoded.
    #[error("the manifest cannot be decoded: {0}")]
    Malformed(#[from] prost::DecodeError),
    /// Its parts contradict each other.
    #[error("the manifest is invalid: {0}")]
    Invalid(&'static str),
    /// The model's header in it cannot be read.
    #[error("the model's header in the manifest cannot be read: {0}")]
    Header(#[from] gguf::Error),
    /// The files of a split model in it do not belong together.
    #[error("the manifest is invalid: {0}")]
    Split(#[from] SplitError),
    /// Its model cannot be cut with its fragment size.
    #[error("the manifest is invalid: {0}")]
    Plan(#[from] PlanError),
    /// It is another manifest than asked for.
    #[error("the manifest of model {expected} is damaged: its content is that of {found}")]
    WrongContent {
        /// What was asked for.
        expected: ModelId,
        /// What the content is.
        found: ModelId,
    },
}

/// The most web seeds that a manifest may name, and how long each may be.
const MAX_WEB_SEEDS: usize = 16;
const MAX_WEB_SEED_BYTES: usize = 512;

/// Addresses of folders by HTTP, and nothing that would mean something else to whoever puts a name behind them.
fn check_web_seeds(seeds: &[String]) -> Result<(), ManifestError> {
    if seeds.len() > MAX_WEB_SEEDS {
        return Err(ManifestError::Invalid("more than 16 web seeds"));
    }
    let is_folder = |seed: &String| {
        let rest = seed
            .strip_prefix("https://")
            .or_else(|| seed.strip_prefix("http://"));
        rest.is_some_and(|rest| rest.len() > 1 && rest.ends_with('/') && !rest.starts_with('/'))
            && seed.len() <= MAX_WEB_SEED_BYTES
            && seed.bytes().all(|byte| byte.is_ascii_graphic())
            && !seed.contains(['?', '#', '@', '\\'])
    };
    if !seeds.iter().all(is_folder) {
        return Err(ManifestError::Invalid(
            "a web seed is not the address of a folder (http or https, with / at its end)",
        ));
    }
    let mut sorted: Vec<_> = seeds.iter().collect();
    sorted.sort_unstable();
    sorted.dedup();
    if sorted.len() != seeds.len() {
        return Err(ManifestError::Invalid("a web seed is named twice"));
    }
    Ok(())
}

/// What a manifest is made of besides the header.
pub(crate) struct Contents {
    pub(crate) fragment_size: u32,
    pub(crate) file_len: u64,
    pub(crate) extents: Vec<Extent>,
    /// Of each file.
    pub(crate) sha256: Vec<[u8; 32]>,
    pub(crate) padding: Vec<u8>,
    pub(crate) digests: Vec<FragmentId>,
}

impl Manifest {
    /// Puts together what was cut according to `plan`.
    pub(crate) fn new(
        header: Header,
        header_bytes: Vec<u8>,
        plan: Plan,
        contents: Contents,
    ) -> Self {
        let Contents {
            fragment_size,
            file_len,
            extents,
            sha256,
            padding,
            digests,
        } = contents;
        let file = |&extent: &Extent| {
            let Extent {
                header_len,
                file_len,
            } = extent;
            EncodedFile {
                header_len,
                file_len,
            }
        };
        let files = match extents.as_slice() {
            [_] => Vec::new(),
            several => several.iter().map(file).collect(),
        };
        let mut message = Encoded {
            fragment_size,
            file_len,
            sha256: sha256.concat(),
            header: header_bytes,
            padding,
            digests: digests.iter().flat_map(|id| id.0).collect(),
            files,
            web_seeds: Vec::new(),
        };
        if message.padding.iter().all(|&byte| byte == 0) {
            message.padding = Vec::new();
        }
        Self::with_plan(message, header, extents, plan, digests)
    }

    fn with_plan(
        message: Encoded,
        header: Header,
        extents: Vec<Extent>,
        plan: Plan,
        digests: Vec<FragmentId>,
    ) -> Self {
        let indices = digests.iter().copied().zip(0..).collect();
        let gaps = gaps(&header, message.file_len);
        let mut manifest = Self {
            id: ModelId([0; 32]),
            message,
            header,
            extents,
            plan,
            gaps,
            digests,
            indices,
        };
        manifest.id = ModelId::of(&manifest.encode());
        manifest
    }

    /// The same model with these [web seeds](Self::web_seeds), and so with another id.
    pub fn with_web_seeds(&self, web_seeds: Vec<String>) -> Result<Self, ManifestError> {
        check_web_seeds(&web_seeds)?;
        let mut manifest = self.clone();
        manifest.message.web_seeds = web_seeds;
        manifest.id = ModelId::of(&manifest.encode());
        Ok(manifest)
    }

    /// Folders on web servers that have the fragments, under the names that [`FolderStore`](crate::FolderStore) gives
    /// them: `https://example.org/model/` has `https://example.org/model/bafk….fragment`. Whoever made the manifest names
    /// them; what comes from there is checked like everything else.
    pub fn web_seeds(&self) -> &[String] {
        &self.message.web_seeds
    }

    /// Its bytes.
    pub fn encode(&self) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(MAGIC.len() + 1 + self.message.encoded_len());
        bytes.extend_from_slice(MAGIC);
        bytes.push(VERSION);
        bytes.extend_from_slice(&self.message.encode_to_vec());
        bytes
    }

    /// Reads a manifest that may come from a stranger.
    pub fn decode(bytes: &[u8]) -> Result<Self, ManifestError> {
        if bytes.len() > MAX_MANIFEST_BYTES {
            return Err(ManifestError::TooLong);
        }
        let rest = bytes
            .strip_prefix(MAGIC)
            .ok_or(ManifestError::NotAManifest)?;
        let message = match rest.split_first() {
            Some((&VERSION, rest)) => Encoded::decode(rest)?,
            Some((&version, _)) => return Err(ManifestError::UnsupportedVersion(version)),
            None => return Err(ManifestError::NotAManifest),
        };
        check_web_seeds(&message.web_seeds)?;
        let (header, extents) = message.headers()?;
        if message.sha256.len() != 32 * extents.len() {
            return Err(ManifestError::Invalid("the length of the files' digests"));
        }
        let (digests, rest) = message.digests.as_chunks::<32>();
        if !rest.is_empty() || digests.len() > MAX_FRAGMENTS {
            return Err(ManifestError::Invalid("the length of the digests"));
        }
        let digests: Vec<_> = digests.iter().map(|&digest| FragmentId(digest)).collect();
        let plan = Plan::with_limit(
            &header,
            message.file_len,
            message.fragment_size,
            digests.len(),
        )?;
        if plan.fragments.len() != digests.len() {
            return Err(ManifestError::Invalid(
                "the number of digests is not that of fragments",
            ));
        }
        let manifest = Self::with_plan(message, header, extents, plan, digests);
        let padding = &manifest.message.padding;
        let padding_len: u64 = manifest
            .gaps
            .padding
            .iter()
            .map(|gap| gap.end - gap.start)
            .sum();
        if !padding.is_empty() && padding_len != padding.len() as u64 {
            return Err(ManifestError::Invalid("the length of the padding"));
        }
        if manifest.indices.len() != manifest.digests.len() {
            return Err(ManifestError::Invalid("two fragments have the same digest"));
        }
        // Else one model would have several ids. The encoding includes the version.
        if manifest.id != ModelId::of(bytes)
            || (!padding.is_empty() && padding.iter().all(|&byte| byte == 0))
        {
            return Err(ManifestError::Invalid("not in its canonical form"));
        }
        Ok(manifest)
    }

    /// Reads a manifest and checks that it is this model's.
    pub fn decode_verified(bytes: &[u8], id: &ModelId) -> Result<Self, ManifestError> {
        let found = ModelId::of(bytes);
        if found != *id {
            return Err(ManifestError::WrongContent {
                expected: *id,
                found,
            });
        }
        Self::decode(bytes)
    }

    /// The model's id.
    pub fn id(&self) -> ModelId {
        self.id
    }

    /// The model's header; of a split model that of all files together.
    pub fn header(&self) -> &Header {
        &self.header
    }

    /// The bytes of the model's header, with the padding up to the first tensor; those of all files of a split
    /// model one after the other.
    pub fn header_bytes(&self) -> &[u8] {
        &self.message.header
    }

    /// What is in which fragment.
    pub fn plan(&self) -> &Plan {
        &self.plan
    }

    /// Bytes of a fragment's file at most.
    pub fn fragment_size(&self) -> u32 {
        self.message.fragment_size
    }

    /// Bytes of the model's file, or of all files of a split one together.
    pub fn file_len(&self) -> u64 {
        self.message.file_len
    }

    /// SHA-256 of the model's file, or of each file of a split one in order.
    pub fn sha256(&self) -> &[[u8; 32]] {
        self.message.sha256.as_chunks().0
    }

    /// Bytes of each of the model's files.
    pub fn file_lens(&self) -> impl ExactSizeIterator<Item = u64> {
        self.extents.iter().map(|extent| extent.file_len)
    }

    pub(crate) fn extents(&self) -> &[Extent] {
        &self.extents
    }

    /// The ids of the fragments in the plan's order.
    pub fn fragment_ids(&self) -> &[FragmentId] {
        &self.digests
    }

    /// The id of the fragment with this index.
    pub fn fragment_id(&self, index: u32) -> Option<FragmentId> {
        self.digests.get(index as usize).copied()
    }

    /// The index of the fragment with this id.
    pub fn fragment_index(&self, id: &FragmentId) -> Option<u32> {
        self.indices.get(id).copied()
    }

    /// Opens the fragment with this index: checks that `bytes` are it, and that it holds what the plan says.
    ///
    /// # Panics
    /// If there is no fragment with this index.
    pub fn open_fragment<B: AsRef<[u8]>>(
        &self,
        index: u32,
        bytes: B,
    ) -> Result<Fragment<B>, FragmentError> {
        let id = self.digests[index as usize];
        fragment::verify(bytes.as_ref(), &id)?;
        let fragment = Fragment::open(bytes)?;
        if !fragment.is_as_planned(&self.header, &self.plan.fragments[index as usize]) {
            return Err(FragmentError::NotAsPlanned(id));
        }
        Ok(fragment)
    }

    /// The padding: where it is, and its bytes.
    pub(crate) fn padding(&self) -> impl Iterator<Item = (u64, &[u8])> {
        const ZEROS: [u8; MAX_PADDING as usize] = [0; MAX_PADDING as usize];
        let mut rest = self.message.padding.as_slice();
        self.gaps.padding.iter().map(move |gap| {
            let len = (gap.end - gap.start) as usize;
            // Together they have the length of the padding, which was checked; or it is empty.
            let (bytes, tail) = rest.split_at_checked(len).unwrap_or((&ZEROS[..len], rest));
            rest = tail;
            (gap.start, bytes)
        })
    }
}

impl Encoded {
    /// The model's header, and what of it is in which file.
    fn headers(&self) -> Result<(Header, Vec<Extent>), ManifestError> {
        let parse = |bytes: &[u8], file_len| {
            let header = Header::parse(bytes, Some(file_len))?;
            if header.data_offset != bytes.len() as u64 {
                return Err(ManifestError::Invalid("bytes follow the model's header"));
            }
            Ok(header)
        };
        if self.files.is_empty() {
            let (header_len, file_len) = (self.header.len() as u64, self.file_len);
            let header = parse(&self.header, file_len)?;
            return match header.split_count()? {
                1 => Ok((
                    header,
                    vec![Extent {
                        header_len,
                        file_len,
                    }],
                )),
                _ => Err(ManifestError::Invalid("a part of a split model alone")),
            };
        }
        if !(2..=MAX_SPLIT_FILES).contains(&self.files.len()) {
            return Err(ManifestError::Invalid("the number of files"));
        }
        let mut rest = self.header.as_slice();
        let (mut headers, mut extents, mut total) = (Vec::new(), Vec::new(), Some(0u64));
        for &EncodedFile {
            header_len,
            file_len,
        } in &self.files
        {
            let split = usize::try_from(header_len).ok();
            let split = split.and_then(|len| rest.split_at_checked(len));
            let (bytes, tail) = split.ok_or(ManifestError::Invalid("the length of a header"))?;
            headers.push((parse(bytes, file_len)?, file_len));
            extents.push(Extent {
                header_len,
                file_len,
            });
            total = total.and_then(|total| total.checked_add(file_len));
            rest = tail;
        }
        if !rest.is_empty() {
            return Err(ManifestError::Invalid("bytes follow the model's headers"));
        }
        if total != Some(self.file_len) {
            return Err(ManifestError::Invalid("the length of all files together"));
        }
        Ok((Header::merge(headers)?, extents))
    }
}
