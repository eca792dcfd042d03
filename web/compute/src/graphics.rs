//! The graphics processor of this device: whether there is one, whether it may be used, and how it does.
//!
//! Only one compute worker is told that it may use it, the first: so there is one device, whose memory has one bound, and
//! whose races nobody disturbs. The other workers compute on their cores meanwhile.

use std::{
    cell::{Cell, RefCell},
    rc::Rc,
};

use fragments::Role;
use gguf::TensorType;
use gpu::{
    Error, Gpu,
    contest::{Batch, Contest, Turn},
};
use web_bridge::{
    messages::UseGraphics,
    status::{Graphics as Status, GraphicsState},
};

use super::adapter;

/// A kind of product, by which devices are compared: parts of the same role have the same shape in most layers.
pub(crate) type Kind = (Role, TensorType, Batch);

/// The graphics processor.
#[derive(Default)]
pub(crate) struct Graphics {
    wish: Cell<UseGraphics>,
    /// What it calls itself; `None` where there is none.
    name: RefCell<Option<String>>,
    device: RefCell<Device>,
    contest: RefCell<Contest<Kind>>,
}

#[derive(Default)]
enum Device {
    /// Nobody has needed it yet.
    #[default]
    Closed,
    Open(Rc<Gpu>),
    /// For good: what has failed once would fail others.
    Failed(String),
}

impl Graphics {
    /// What the user wants. Looks whether there is a graphics processor, too.
    pub(crate) async fn wish(&self, wish: UseGraphics) {
        self.wish.set(wish);
        if self.name.borrow().is_none() {
            let name = adapter::name().await;
            self.name.replace(name);
        }
    }

    /// The device, if it may be used and works. It is opened when it is first needed.
    pub(crate) async fn device(&self) -> Option<Rc<Gpu>> {
        if self.wish.get() == UseGraphics::Never || self.name.borrow().is_none() {
            return None;
        }
        match &*self.device.borrow() {
            Device::Closed => {}
            Device::Open(gpu) => return Some(gpu.clone()),
            Device::Failed(_) => return None,
        }
        match Gpu::open().await {
            Ok(Some(gpu)) => {
                let gpu = Rc::new(gpu);
                self.device.replace(Device::Open(gpu.clone()));
                Some(gpu)
            }
            Ok(None) => {
                self.give_up("the browser does not lend it".into());
                None
            }
            Err(error) => {
                self.give_up(error.to_string());
                None
            }
        }
    }

    /// Whose turn it is to compute a product.
    pub(crate) fn turn(&self, kind: Kind) -> Turn {
        match (&*self.device.borrow(), self.wish.get()) {
            (Device::Open(_), UseGraphics::Always) => Turn::Gpu,
            (Device::Open(_), UseGraphics::WhereQuicker) => self.contest.borrow_mut().turn(kind),
            _ => Turn::Cpu,
        }
    }

    /// The contest, for times.
    pub(crate) fn contest(&self) -> &RefCell<Contest<Kind>> {
        &self.contest
    }

    /// It has not computed what it was asked for. Unless that lies in the question, it is not asked again.
    pub(crate) fn failed(&self, error: &Error) {
        if !error.is_about_the_product() {
            self.give_up(error.to_string());
        }
    }

    fn give_up(&self, reason: String) {
        let words = format!("computing on the CPU from now on: {reason}");
        web_sys::console::warn_1(&words.into());
        self.device.replace(Device::Failed(reason));
    }

    /// What the page shows; `None` where there is no graphics processor.
    pub(crate) fn status(&self) -> Option<Status> {
        let name = self.name.borrow().clone()?;
        let state = match (&*self.device.borrow(), self.wish.get()) {
            (Device::Failed(reason), _) => GraphicsState::Failed(reason.clone()),
            (_, UseGraphics::Never) => GraphicsState::Off,
            (Device::Closed, _) => GraphicsState::Idle,
            (Device::Open(_), UseGraphics::Always) => GraphicsState::InUse,
            (Device::Open(_), UseGraphics::WhereQuicker) => {
                let standing = self.contest.borrow().standing();
                match (standing.won, standing.lost, standing.open) {
                    (0, 0, _) => GraphicsState::Compared,
                    (0, ..) => GraphicsState::Slower,
                    _ => GraphicsState::InUse,
                }
            }
        };
        Some(Status { name, state })
    }
}
