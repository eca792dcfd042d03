//! What is asked for the tokens on their way, about fragments and of those who run layers, and what is answered.

use super::{Chain, MAX_BEHIND, Running};
use crate::{
    compute::{self, Arithmetic},
    executor::{Error, Executor, Missing},
    requests::{Parts, RequestId, ResponseError},
    stage::{CallId, Request, Response, Runner},
};

impl Chain {
    fn executors(&mut self) -> impl Iterator<Item = &mut Executor> {
        self.links
            .iter_mut()
            .filter_map(|link| match &mut link.place {
                Running::Here(executor) => Some(&mut **executor),
                Running::There { .. } => None,
            })
    }

    pub(crate) fn poll_request(&mut self) -> Option<(RequestId, compute::Request)> {
        self.executors().find_map(Executor::poll_request)
    }

    pub(crate) fn handle_response(
        &mut self,
        id: RequestId,
        response: compute::Response,
    ) -> Result<(), Error> {
        let executor = self.executors().find(|executor| executor.waits_for(id));
        if let Some(executor) = executor {
            executor.handle_response(id, response)?;
        }
        self.hear_executor()
    }

    /// What an executor has finished goes on.
    fn hear_executor(&mut self) -> Result<(), Error> {
        let done = self.executors().find_map(|executor| {
            let states = executor.poll_output()?;
            Some((executor.position(), states))
        });
        match done {
            Some((reached, states)) => self.left(reached, states),
            None => Ok(()),
        }
    }

    pub(crate) fn retry(&mut self, id: RequestId) -> bool {
        self.executors().any(|executor| executor.retry(id))
    }

    pub(crate) fn do_without(&mut self, id: RequestId) -> Result<Missing, Error> {
        let executor = self.executors().find(|executor| executor.waits_for(id));
        let missing = match executor {
            Some(executor) => executor.do_without(id)?,
            // Nobody waits for it, any more.
            None => Missing::LeftOut,
        };
        self.hear_executor()?;
        Ok(missing)
    }

    /// What somebody is to be asked for.
    pub(crate) fn poll_call(&mut self) -> Option<(CallId, Runner, Request)> {
        self.links
            .iter_mut()
            .find_map(|link| match &mut link.place {
                Running::There {
                    runner,
                    call: Some(call),
                    ..
                } => Some((call.id, runner.clone(), call.unsent.take()?)),
                _ => None,
            })
    }

    /// Takes the answer of whoever runs a stage. One that nobody waits for, any more, changes nothing. After an error the
    /// stage has to be given to somebody else.
    pub(crate) fn handle_call(&mut self, id: CallId, response: Response) -> Result<(), Error> {
        let width = self.model.hyperparameters().n_embd;
        let settings = self.settings;
        let found = self
            .links
            .iter_mut()
            .find_map(|link| match &mut link.place {
                Running::There { call, behind, .. } => {
                    let call = call.take_if(|call| call.id == id)?;
                    Some((call, behind, &mut link.position, &mut link.parts))
                }
                Running::Here(_) => None,
            });
        let Some((call, behind, position, parts)) = found else {
            return Ok(());
        };
        match response {
            Response::Behind { position: seen } => {
                *behind += 1;
                if seen >= call.positions.start || *behind > MAX_BEHIND {
                    return Err(ResponseError::Behind(seen).into());
                }
                *position = seen;
                self.drive()
            }
            Response::States {
                states,
                parts: made,
            } => {
                let expected = (call.wanted, width);
                if states.len() != call.wanted * width {
                    let found = (states.len() / width, width);
                    return Err(ResponseError::Shape { expected, found }.into());
                }
                if !states.iter().all(|value| value.is_finite()) {
                    return Err(ResponseError::NotFinite.into());
                }
                if made.approximate > 0 && settings.arithmetic != Arithmetic::Approximate {
                    return Err(ResponseError::Approximate.into());
                }
                *position = call.positions.end;
                *parts = made;
                self.left(call.positions.end, states)
            }
        }
    }

    pub(crate) fn open_requests(&self) -> usize {
        let open = self.links.iter().map(|link| match &link.place {
            Running::Here(executor) => executor.open_requests(),
            Running::There { call, .. } => usize::from(call.is_some()),
        });
        open.sum()
    }

    pub(crate) fn parts(&self) -> Parts {
        let each = self.links.iter().map(|link| match &link.place {
            Running::Here(executor) => executor.parts(),
            Running::There { .. } => link.parts,
        });
        each.fold(Parts::default(), |all, parts| all + parts)
    }

    pub(crate) fn poll_output(&mut self) -> Option<Vec<f32>> {
        self.output.take()
    }
}
