"""draft"""
from __future__ import annotations
from typing import Annotated
import msgspec
from promptc.optimizers.coverage import Row, covering, described
from promptc.optimizers.demos import gold_columns, labeled_demos, traced_demos, with_demos, sample_examples
from promptc.optimizers.merging import merged
from promptc.optimizers.practice import Practice
from promptc.optimizers.proposal import Ask, Proposal, problem_of
from promptc.optimizers.proposing import LONGEST_INSTRUCTION, Proposer
from promptc.optimizers.protocol import Plan, Sizes
from promptc.optimizers.race import Entry, Look, Race, entry_of, distinct, mean
from promptc.optimizers.reflecting import Lesson, Reader
from promptc.optimizers.search import Search
from promptc.runners.candidate import Candidate
from promptc.runners.program import Program
from promptc.runners.rows import Example

import os
DEBUG = os.environ.get("AUTO_DEBUG")
def say(*a):
    if DEBUG: print("   ", *a)

class Auto(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    max_demos: int = 16
    proposals: int = 12
    shown: int = 10

    def plan(self, program: Program, sizes: Sizes) -> Plan:
        return Plan(runs={"task": (2*sizes.dev, 6*sizes.dev), "proposer": (0, 60)}, first_trial=40, trials=20)

    async def optimize(self, search: Search) -> None:
        await _Search(search, self).run()


class _Search:
    def __init__(self, search, auto):
        self.search, self.auto = search, auto
        self.practice = Practice(search)
        self.proposer = Proposer(search)
        self.reader = Reader(search, search.rng("batches"))
        self.incumbent = entry_of(search, search.start, "start")
        self.golds = gold_columns(search)
        self.cursor = 0
        self.order = list(search.train)
        search.rng("order").shuffle(self.order)
        self.rounds = 0
        self.history = []
        self.saved = 0
        names = list(search.program.predictors)
        self.described = {
            n: {r.example.id: r for r in described(search.train, [f.name for f in p.signature.inputs],
                [self.golds.get(f.name, f.name) for f in p.signature.outputs])}
            for n, p in search.program.predictors.items()
        }
        inputs = [f.name for f in search.program.inputs]; outs=[self.golds.get(f.name,f.name) for f in search.program.outputs]
        self.rows = {r.example.id: r for r in described(search.train, inputs, outs)}

    def fresh(self, n):
        n = min(n, len(self.order))
        got = [self.order[(self.cursor + i) % len(self.order)] for i in range(n)]
        return got
    def advance(self, n):
        self.cursor = (self.cursor + n) % len(self.order)

    async def run(self):
        s = self.search
        total = s.affordable_rows(100000)
        D = len(s.dev)
        dev = max(8, min(D, total // 6))
        fin = 1 if total < 400 else 2 if total < 900 else 3 if total < 1500 else 5
        s.choose_on(dev)
        await s.begin()
        keep = fin * dev
        learn = s.affordable_rows(100000) - keep
        self.learn0 = learn
        rounds = max(1, min(10, round(learn / 60)))
        q = max(8, learn // rounds)
        say("total", total, "dev", dev, "fin", fin, "learn", learn, "rounds", rounds, "q", q)
        P = self.proposer.affordable(self.auto.proposals * rounds)
        K = max(1, min(self.auto.proposals, total // 8 // rounds, P // rounds)) if P else 0
        self.past = [self.incumbent]
        stale = 0
        # first look
        n1 = max(6, q // 5)
        await self.race([self.incumbent, *self.demo_entries(True)], n1, 2)
        while s.affordable_rows(100000) - keep >= 8 and stale < 4 and s.may_go_on("round"):
            self.rounds += 1
            entries = await self.entries(K)
            A = len(entries) + 1
            left = s.affordable_rows(100000) - keep
            n1 = max(4, min(q, left) // (A + 2))
            before = self.incumbent
            await self.race([self.incumbent, *entries], n1, 2 if q < 80 else 3)
            stale = stale + 1 if before is self.incumbent else 0
        finalists = [(e.candidate, e.origin) for e in reversed(self.past)]
        bare = self.without_demos(self.incumbent)
        if bare is not None: finalists.insert(1, (bare.candidate, bare.origin))
        await s.try_all(finalists[:fin])
        say("dev", [(t.origin, t.score) for t in s.trials], "left", s.affordable_rows(100000), "saved", self.saved)

    def without_demos(self, e):
        c = with_demos(self.search.program, e.candidate, {n: self.search.start.predictors[n].demos for n in e.candidate.predictors})
        return entry_of(self.search, c, e.origin + ", no demos") if c.digest() != e.candidate.digest() else None

    def needs(self):
        out = {}
        for ex in self.search.train:
            r = self.practice.record(self.incumbent.candidate, ex)
            out[ex.id] = 0.5 if r is None or r.score is None else (1.0 - r.score) + 0.05
        return out

    def demo_entries(self, first=False, base=None):
        base = base or self.incumbent
        res = []
        if not self.auto.max_demos: return res
        needs = self.needs()
        sizes = [self.auto.max_demos] if first else [self.auto.max_demos]
        for size in sizes:
            demos = {}
            for n, p in self.search.program.predictors.items():
                traces = {}
                for ex in self.search.train:
                    r = self.practice.record(self.incumbent.candidate, ex)
                    if r is not None and r.score == 1.0 and r.failure is None:
                        t = traced_demos(r)
                        if n in t: traces[ex.id] = t[n]
                lab = {d.row_id: d for d in labeled_demos(self.search, p, self.search.train) if d.inputs}
                pool = {**lab, **traces}
                rows = [r for i, r in self.described[n].items() if i in pool]
                sel = covering(rows, needs, size)
                if sel: demos[n] = tuple(pool[r.example.id] for r in sel)
            if demos:
                res.append(entry_of(self.search, with_demos(self.search.program, base.candidate, demos), f"{base.origin} + demos" if base is not self.incumbent else f"round {self.rounds}: demos"))
        return res

    async def entries(self, K):
        s = self.search
        inc = self.incumbent
        lessons = [Lesson(self.rows[ex.id], self.practice.record(inc.candidate, ex)) for ex in s.train if ex.id in self.rows]
        say(f"round {self.rounds}: incumbent {inc.origin} {inc.characters} lessons {sum(l.record is not None for l in lessons)} failed {sum(l.failed for l in lessons)}")
        steps = {st.name: st for st in s.program.steps}
        names = [n for n, p in s.program.predictors.items() if "instructions" not in steps[p.step].freeze]
        res = []
        texts = {}
        if K and names and any(l.failed or l.record is None for l in lessons):
            asks = []
            for k in range(K):
                n = names[k % len(names)]
                asks.append(Ask(predictor=n, current=inc.candidate.predictors[n].instructions, examples=self.reader.batch(n, lessons, self.auto.shown, 2), history=tuple(self.history[-0:]) if False else (), rollout=1 + self.rounds * 1000 + k))
            got = await self.proposer.propose(asks)
            for n in names:
                mine = [p for p in got if p.ask.predictor == n]
                texts[n] = mine
        merges = []
        per = {}
        for n, mine in texts.items():
            base = inc.candidate.predictors[n].instructions
            ts = merged(base, [p.instruction for p in mine])
            ts = [t for t in ts if len(t) <= LONGEST_INSTRUCTION]
            per[n] = ts
            for i, t in enumerate(ts):
                c = inc.candidate.with_predictor(n, msgspec.structs.replace(inc.candidate.predictors[n], instructions=t))
                merges.append(entry_of(s, c, f"round {self.rounds}: merge{i} of {len(mine)}"))
        singles = [entry_of(s, self.proposer.candidate(inc.candidate, p), f"round {self.rounds}: proposal") for mine in texts.values() for p in mine]
        if len([1 for t in per.values() if t]) > 1:
            c = inc.candidate
            for n, ts in per.items():
                if ts: c = c.with_predictor(n, msgspec.structs.replace(c.predictors[n], instructions=ts[0]))
            merges.append(entry_of(s, c, f"round {self.rounds}: merge of all"))
        demos = self.demo_entries()
        joint = self.demo_entries(base=merges[0]) if merges else []
        bare = [self.without_demos(merges[0])] if merges and self.without_demos(merges[0]) else []
        room = 3 if self.learn0 < 120 else 5 if self.learn0 < 400 else 8
        order = [*merges[:1], *joint, *merges[1:], *bare, *demos, *singles]
        if not merges: order = [*singles[:2], *demos, *singles[2:]]
        return distinct(order)[:room]

    async def race(self, entries, n1, keep):
        s = self.search
        rows = self.fresh(2 * n1)
        r = await Race(looks=(Look(n1, keep), Look(2 * n1, 1))).run(self.practice, entries, rows)
        self.advance(len(rows))
        self.saved += r.saved
        say("race", n1, [(e.origin, round(m, 2), e.characters) for e, m in zip(r.order, r.means)], "saved", r.saved)
        if r.winner.candidate.digest() != self.incumbent.candidate.digest():
            self.incumbent = r.winner
            self.past.append(r.winner)
