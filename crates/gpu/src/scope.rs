use wgpu::{Device, ErrorFilter, ErrorScopeGuard};

use crate::Error;

/// What goes wrong between its opening and its closing, and is otherwise said to nobody who waits for the result:
/// calls that fail leave buffers full of zeros behind.
pub(crate) struct Scope([ErrorScopeGuard; 3]);

impl Scope {
    pub(crate) fn open(device: &Device) -> Self {
        let filters = [
            ErrorFilter::OutOfMemory,
            ErrorFilter::Internal,
            ErrorFilter::Validation,
        ];
        Self(filters.map(|filter| device.push_error_scope(filter)))
    }

    /// Waits until the device has looked at everything that was asked of it.
    pub(crate) async fn close(self) -> Result<(), Error> {
        let [first, second, third] = self.0;
        // The last one opened is the first to close; all of them before anything is waited for.
        let errors = (third.pop(), second.pop(), first.pop());
        match [errors.0.await, errors.1.await, errors.2.await]
            .into_iter()
            .flatten()
            .next()
        {
            None => Ok(()),
            Some(error) => Err(Error::Failed(error.to_string())),
        }
    }
}
