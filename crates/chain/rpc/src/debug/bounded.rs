//! An inspector that stops the EVM when what another one records, or the time it takes, is too much.
//!
//! ```text
//! EVM ─hook─▶ Bounded ─charge─▶ Budget
//!                │ within it           │ exceeded
//!                ▼                     ▼
//!          DebugInspector      the EVM ends at once
//! ```

use super::budget::Budget;
use alloy_primitives::{Address, Bytes, Log, U256};
use alloy_rpc_types_trace::{
    geth::{CallFrame, StructLog},
    parity::LocalizedTransactionTrace,
};
use revm::{
    Inspector,
    bytecode::opcode,
    context_interface::{ContextTr, context::ContextError},
    handler::FrameResult,
    interpreter::{
        CallInputs, CallOutcome, CreateInputs, CreateOutcome, FrameInput, Gas, InstructionResult,
        Interpreter, InterpreterResult,
        interpreter_types::{Jumps, LegacyBytecode, LoopControl, ReturnData},
    },
};
use revm_inspectors::tracing::{
    DebugInspector, StackSnapshotType, TracingInspectorConfig,
    types::{CallTraceNode, CallTraceStep},
};
use std::collections::{HashMap, HashSet};

/// A step: as it is recorded or as it is answered, whichever takes more.
const STEP: usize = max(size_of::<CallTraceStep>(), size_of::<StructLog>()) + 16;
/// A call, in the same way.
const CALL: usize =
    max(max(size_of::<CallTraceNode>(), size_of::<CallFrame>()), size_of::<LocalizedTransactionTrace>());
/// A word of memory: in the answer it is a string of 64 digits.
const MEMORY_WORD: usize = size_of::<String>() + 64 + 16;
/// A word of the stack.
const STACK_WORD: usize = size_of::<U256>();
/// A slot: every access is answered with all slots of the contract so far.
const SLOT: usize = 96;
/// A step of a call's way: as a number and as it is answered.
const WAY_STEP: usize = size_of::<usize>() + 8;
/// A log beside its data.
const LOG: usize = 256;

const fn max(a: usize, b: usize) -> usize {
    if a > b { a } else { b }
}

/// What a tracer keeps.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Kept {
    calls: bool,
    inputs: bool,
    logs: bool,
    steps: bool,
    stack: bool,
    memory: bool,
    storage: bool,
    return_data: bool,
    /// Each call's code is answered with it.
    code: bool,
    /// Each call is answered with its way from the outermost one.
    ways: bool,
    /// Steps after which no more are recorded.
    most_steps: Option<u64>,
}

impl Kept {
    /// One of geth's tracers.
    pub(crate) fn by(tracer: &DebugInspector) -> Self {
        match tracer {
            DebugInspector::Noop(_) => Self::default(),
            DebugInspector::FourByte(_) => Self { calls: true, ..Self::default() },
            DebugInspector::CallTracer(inspector, _)
            | DebugInspector::PreStateTracer(inspector, _)
            | DebugInspector::Erc7562Tracer(inspector, _) => Self::of(inspector.config()),
            DebugInspector::FlatCallTracer(inspector) => Self::parity(inspector.config()),
            DebugInspector::Mux(..) => Self { calls: true, inputs: true, logs: true, ..Self::default() },
            DebugInspector::Default(inspector, options) => {
                let most_steps = options.limit.filter(|limit| *limit > 0);
                Self { most_steps, ..Self::of(inspector.config()) }
            }
        }
    }

    /// A recorder of Parity's traces.
    pub(crate) fn parity(config: &TracingInspectorConfig) -> Self {
        Self { ways: true, code: config.record_steps, ..Self::of(config) }
    }

    fn of(config: &TracingInspectorConfig) -> Self {
        Self {
            calls: true,
            inputs: config.record_inputs,
            logs: config.record_logs,
            steps: config.record_steps,
            stack: config.record_stack_snapshots != StackSnapshotType::None,
            memory: config.record_memory_snapshots,
            storage: config.record_state_diff,
            return_data: config.record_returndata_snapshots,
            ..Self::default()
        }
    }
}

/// A tracer within a budget. Once that is exceeded the tracer is told nothing more and has no result.
#[derive(Debug)]
pub(crate) struct Bounded<'a, I> {
    tracer: &'a mut I,
    budget: &'a mut Budget,
    kept: Kept,
    steps: u64,
    /// Whether the step under way is recorded.
    in_step: bool,
    /// Of each call under way, how many it has made.
    children: Vec<u64>,
    /// The sum of them.
    way: u64,
    slots: HashMap<Address, HashSet<U256>>,
}

impl<'a, I> Bounded<'a, I> {
    pub(crate) fn new(tracer: &'a mut I, kept: Kept, budget: &'a mut Budget) -> Self {
        budget.begin();
        let (children, slots) = (Vec::new(), HashMap::new());
        Self { tracer, budget, kept, steps: 0, in_step: false, children, way: 0, slots }
    }

    fn charge_step(&mut self, interp: &Interpreter) {
        let mut bytes = STEP;
        if self.kept.stack {
            bytes += interp.stack.len() * STACK_WORD;
        }
        if self.kept.memory {
            bytes = bytes.saturating_add(interp.memory.len().div_ceil(32) * MEMORY_WORD);
        }
        if self.kept.return_data {
            bytes += interp.return_data.buffer().len();
        }
        if self.kept.storage && matches!(interp.bytecode.opcode(), opcode::SLOAD | opcode::SSTORE) {
            bytes += self.slots_with(interp) * SLOT;
        }
        self.budget.charge(bytes);
    }

    /// How many slots of the contract were accessed, the one on the stack included.
    fn slots_with(&mut self, interp: &Interpreter) -> usize {
        let slots = self.slots.entry(interp.input.target_address).or_default();
        slots.extend(interp.stack.data().last());
        slots.len()
    }

    fn charge_call(&mut self, input: usize) {
        self.budget.look_at_clock();
        if self.kept.calls {
            self.budget.charge(CALL);
            if self.kept.ways {
                // A call's way is found by looking for each of its callers among their siblings.
                self.budget.charge(self.children.len() * WAY_STEP);
                self.budget.charge_call(self.way);
            }
            if let Some(siblings) = self.children.last_mut() {
                self.budget.charge_call(*siblings);
                *siblings += 1;
                self.way += 1;
            }
            self.children.push(0);
        }
        if self.kept.inputs {
            self.budget.charge(input);
        }
    }

    fn charge_output(&mut self, output: &Bytes) {
        self.way -= self.children.pop().unwrap_or_default();
        if self.kept.calls {
            self.budget.charge(output.len());
        }
    }

    fn charge_log(&mut self, log: &Log) {
        if self.kept.logs {
            self.budget.charge(LOG + log.data.data.len());
        }
    }

    fn stops(&self, interp: &mut Interpreter, context: &mut impl ContextTr) -> bool {
        if self.budget.is_over() {
            fail(context);
            // What the last instruction was about to do, a call or a return, is not done.
            interp.bytecode.action().take();
            interp.bytecode.reset_action();
            interp.halt_fatal();
        }
        self.budget.is_over()
    }
}

/// Ends the transaction: the EVM takes this for a fault of its own.
fn fail(context: &mut impl ContextTr) {
    if context.error().is_ok() {
        *context.error() = Err(ContextError::Custom("trace stopped".to_owned()));
    }
}

fn nothing() -> InterpreterResult {
    InterpreterResult::new(InstructionResult::FatalExternalError, Bytes::new(), Gas::new(0))
}

impl<CTX, I> Inspector<CTX> for Bounded<'_, I>
where
    CTX: ContextTr,
    I: Inspector<CTX>,
{
    fn initialize_interp(&mut self, interp: &mut Interpreter, context: &mut CTX) {
        if self.kept.code {
            self.budget.charge(interp.bytecode.bytecode_len().saturating_mul(2));
        }
        self.tracer.initialize_interp(interp, context);
    }

    fn step(&mut self, interp: &mut Interpreter, context: &mut CTX) {
        self.budget.tick();
        self.in_step = self.kept.most_steps.is_none_or(|most| self.steps < most);
        if self.kept.steps && self.in_step {
            self.steps += 1;
            self.charge_step(interp);
        }
        if !self.stops(interp, context) && self.in_step {
            self.tracer.step(interp, context);
        }
    }

    fn step_end(&mut self, interp: &mut Interpreter, context: &mut CTX) {
        if !self.stops(interp, context) && self.in_step {
            self.tracer.step_end(interp, context);
        }
    }

    fn log(&mut self, context: &mut CTX, log: Log) {
        self.charge_log(&log);
        if self.budget.is_over() {
            return fail(context);
        }
        self.tracer.log(context, log);
    }

    fn log_full(&mut self, interp: &mut Interpreter, context: &mut CTX, log: Log) {
        self.charge_log(&log);
        if !self.stops(interp, context) {
            self.tracer.log_full(interp, context, log);
        }
    }

    fn frame_start(&mut self, context: &mut CTX, input: &mut FrameInput) -> Option<FrameResult> {
        self.tracer.frame_start(context, input)
    }

    fn frame_end(&mut self, context: &mut CTX, input: &FrameInput, result: &mut FrameResult) {
        if !self.budget.is_over() {
            self.tracer.frame_end(context, input, result);
        }
    }

    fn call(&mut self, context: &mut CTX, inputs: &mut CallInputs) -> Option<CallOutcome> {
        self.charge_call(inputs.input.len());
        if self.budget.is_over() {
            fail(context);
            return Some(CallOutcome::new(nothing(), 0..0));
        }
        self.tracer.call(context, inputs)
    }

    fn call_end(&mut self, context: &mut CTX, inputs: &CallInputs, outcome: &mut CallOutcome) {
        if !self.budget.is_over() {
            self.charge_output(&outcome.result.output);
            self.tracer.call_end(context, inputs, outcome);
        }
    }

    fn create(&mut self, context: &mut CTX, inputs: &mut CreateInputs) -> Option<CreateOutcome> {
        self.charge_call(inputs.init_code().len());
        if self.budget.is_over() {
            fail(context);
            return Some(CreateOutcome::new(nothing(), None));
        }
        self.tracer.create(context, inputs)
    }

    fn create_end(&mut self, context: &mut CTX, inputs: &CreateInputs, outcome: &mut CreateOutcome) {
        if !self.budget.is_over() {
            self.charge_output(&outcome.result.output);
            self.tracer.create_end(context, inputs, outcome);
        }
    }

    fn selfdestruct(&mut self, contract: Address, target: Address, value: U256) {
        if !self.budget.is_over() {
            Inspector::<CTX>::selfdestruct(self.tracer, contract, target, value);
        }
    }
}
