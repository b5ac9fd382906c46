"""draft 2"""
from __future__ import annotations
import msgspec, os
from promptc.optimizers.coverage import Grounding
from promptc.optimizers.credit import Worth, worths
from promptc.optimizers.demo_choice import DemoChoice
from promptc.optimizers.demos import gold_columns
from promptc.optimizers.merging import Edit, additions, agreed_drops, edit_of, key_of, lines_of, merged
from promptc.optimizers.practice import Practice
from promptc.optimizers.proposal import Ask, problem_of
from promptc.optimizers.proposing import LONGEST_INSTRUCTION, Proposer, open_predictors, sample_of
from promptc.optimizers.protocol import Plan, Sizes
from promptc.optimizers.race import Entry, Look, Race, better, distinct, entry_of, mean
from promptc.optimizers.reflecting import Lesson, Reader
from promptc.optimizers.search import Search
from promptc.runners.candidate import Candidate
from promptc.runners.program import Program

MANY = 100_000
DEBUG = os.environ.get("AUTO_DEBUG")
def say(*a):
    if DEBUG: print("   ", *a)
K_ = dict(minrows=10, rowsper=80, maxrounds=8, devshare=6, credit=1, splits=3, patience=4, propshare=8, z=0.6, ruled=0.15, len=500, slen=0.1, sself=0.1, m0=0.01, model=1, s0=0.08)
for kv in os.environ.get("AUTO_K","").split(","):
    if kv: k,v=kv.split("="); K_[k]=float(v)

class Auto(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    max_demos: int = 16
    proposals: int = 20
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
        self.demos = DemoChoice(search, self.practice)
        self.reader = Reader(search, search.rng("batches"))
        self.incumbent = entry_of(search, search.start, "start")
        self.cursor = 0
        self.order = list(search.train)
        search.rng("order").shuffle(self.order)
        self.round = 0
        self.saved = 0
        self.names = open_predictors(search.program)
        self.pool = {n: [] for n in self.names}
        self.candidates = {search.start.digest(): search.start}
        self.past = [self.incumbent]
        self.grounding = Grounding(self.demos.rows)
        self.fails = 0
        self.base = self.incumbent

    # ---- budget
    def left(self): return self.search.affordable_rows(MANY) - self.keep

    async def run(self):
        s = self.search
        total = s.affordable_rows(MANY); D = len(s.dev)
        dev = max(8, min(D, int(total // K_["devshare"])))
        self.fin = 1 if total < 250 else 2 if total < 900 else 3 if total < 1500 else 5
        s.choose_on(dev)
        await s.begin()
        self.keep = self.fin * dev
        learn = self.left()
        rounds = max(1, min(int(K_["maxrounds"]), round(learn / K_["rowsper"])))
        P = min(self.proposer.affordable(2 * self.auto.proposals * rounds), int(total // K_["propshare"]))
        K = max(1, min(self.auto.proposals, P // (rounds))) if P else 0
        q = max(8, (learn - (K * rounds if learn < 100 else 0)) // rounds)
        say("total", total, "dev", dev, "fin", self.fin, "learn", learn, "rounds", rounds, "q", q, "K", K)
        stale = 0
        n0 = max(4, q // 8)
        await self.practice.run([(self.incumbent.candidate, self.rows(n0))]); self.cursor += n0
        while self.left() >= 8 and stale < K_["patience"] and s.may_go_on("round"):
            self.round += 1
            before = self.incumbent
            todo = max(1, round(self.left() / q))
            await self.one_round(K, self.left() // todo)
            stale = stale + 1 if before is self.incumbent else 0
        await s.try_all(self.finalists())
        say("dev", [(t.origin, t.score) for t in s.trials], "left", s.affordable_rows(MANY), "saved", self.saved)

    def finalists(self):
        inc = self.incumbent
        out = [inc]
        bare = entry_of(self.search, self.demos.without(inc.candidate), inc.origin + ", no demos")
        out.append(bare)
        out += list(reversed(self.past[:-1]))
        return [(e.candidate, e.origin) for e in distinct(out)][: self.fin]

    def rows(self, n):
        n = min(n, len(self.order))
        return [self.order[(self.cursor + i) % len(self.order)] for i in range(n)]

    def enter(self, candidate, origin):
        self.candidates[candidate.digest()] = candidate
        return entry_of(self.search, candidate, origin)

    def with_text(self, c, n, text):
        return c.with_predictor(n, msgspec.structs.replace(c.predictors[n], instructions=text))

    # ---- credit
    def parts(self, c):
        out = {}
        out["<length>"] = 0.0
        for n in self.names:
            for key in lines_of(c.predictors[n].instructions): out[n, key] = 1.0
            out["<length>"] += len(c.predictors[n].instructions) / K_["len"]
        for n, texts in c.predictors.items():
            if texts.demos: out["<demos>", n] = min(1.0, len(texts.demos) / max(1, self.auto.max_demos))
        return out
    def prior(self, part):
        if part == "<length>": return Worth(0.0, K_["slen"])
        if part[0] == "<demos>": return Worth(0.0, 0.2)
        if part[0] == "<itself>": return Worth(0.0, K_["sself"])
        return Worth(K_["m0"], K_["s0"])
    def worths(self):
        table = self.practice.table()
        rows = {}
        for scores in table.values():
            for d in scores: rows[d] = rows.get(d, 0) + 1
        parts = {d: self.parts(c) for d, c in self.candidates.items() if d in rows}
        for d in parts:
            if rows[d] >= 4: parts[d]["<itself>", d] = 1.0
        return worths(table, parts, self.prior)
    def value(self, c, w):
        p = self.parts(c)
        p["<itself>", c.digest()] = 1.0
        return sum(w[k].mean * x if k in w else (self.prior(k).mean * x) for k, x in p.items())
    def choose(self, entries, w):
        vals = {e.candidate.digest(): round(self.value(e.candidate, w), 3) for e in entries}
        say("   values", [(e.origin, vals[e.candidate.digest()]) for e in entries])
        return min(entries, key=lambda e: (-vals[e.candidate.digest()], e.characters))

    async def one_round(self, K, q):
        s, inc = self.search, self.incumbent
        if self.fails == 2 and self.units(self.base.candidate):
            self.fails = 0 if await self.sift(q) else 3
            return
        fresh, rewrites = await self.ask(K)
        room = max(2, min(14, int(q / K_["minrows"]) - 2))
        full, entries = self.arms(fresh, rewrites, room)
        A = len(entries) + 1
        n1 = max(4, q // (A + 2))
        rows = self.rows(2 * n1)
        first = await self.race([inc, *entries], rows, [Look(n1, 2)])
        w = self.worths()
        second = list(first.order[:2])
        screened = self.screened(first.winner.candidate, fresh, w) if K_["credit"] else None
        if screened is not None: second.append(screened)
        if inc.candidate.digest() not in [e.candidate.digest() for e in second] and len(second) < 3: second.append(inc)
        r = await self.race(second, rows, [Look(2 * n1, 1)])
        self.cursor += len(rows)
        say(f"round {self.round} n1 {n1} ->", [(e.origin, round(m, 2), e.characters) for e, m in zip(r.order, r.means)])
        before = self.incumbent
        w = self.worths()
        self.accept(self.choose(distinct([*r.order, inc]), w) if K_["model"] else r.winner)
        # where proposals go on from
        for n in self.names:
            self.pool[n] += [Edit(added=e.added) for e in fresh[n]]
        win = self.incumbent
        texts = lambda c: [c.predictors[n].instructions for n in self.names]
        self.base = win
        if full is not None and texts(full.candidate) != texts(win.candidate):
            same = [e for e in [*entries, screened] if e is not None and texts(e.candidate) == texts(full.candidate)]
            ok = [e for e in same if better(self.practice.scores(win.candidate, rows), self.practice.scores(e.candidate, rows)) > K_["ruled"]]
            if ok: self.base = self.choose(ok, w)
        self.fails = 0 if before is not self.incumbent else self.fails + 1

    async def sift(self, q):
        inc = self.incumbent.candidate
        before = self.incumbent
        w = self.worths(); bad = {n: self.bad(n, w) for n in self.names}
        none = {n: [] for n in self.names}
        full = self.merge(inc, none, bad)
        pairs = int(q * 0.6) // 2
        rows = self.rows(pairs); rng = self.search.rng("sift", self.round)
        rows = [rows[i % len(rows)] for i in range(pairs)]
        wanted = []
        for row in rows:
            for x in self.two_halves(full, rng):
                c = self.without_lines(full, x)
                self.enter(c, "half"); wanted.append((c, [row]))
        await self.practice.run(wanted)
        self.cursor += pairs
        w = self.worths(); bad = {n: self.bad(n, w) for n in self.names}
        best = self.merge(inc, none, bad)
        say("   sift", {n: len(bad[n]) for n in bad}, "of", len(w))
        es = [self.enter(best, f"round {self.round}: sifted"), self.enter(full, f"round {self.round}: merge"), self.incumbent]
        n = int(q * 0.4) // len(distinct(es))
        rows = self.rows(n)
        r = await self.race(es, rows, [Look(n, 1)])
        self.cursor += n
        say(f"round {self.round} sift n {n} ->", [(e.origin, round(m, 2), e.characters) for e, m in zip(r.order, r.means)])
        self.accept(self.choose(distinct([*r.order, self.incumbent]), self.worths()) if K_["model"] else r.winner)
        if self.incumbent is not before: self.base = self.incumbent
        return self.incumbent is not before

    def units(self, full):
        return [(n, k) for n in self.names for k in lines_of(full.predictors[n].instructions) if k not in lines_of(self.search.start.predictors[n].instructions)]

    def two_halves(self, full, rng):
        u = self.units(full); rng.shuffle(u)
        return [u[: len(u) // 2], u[len(u) // 2 :]]

    def without_lines(self, c, units):
        for n in self.names:
            gone = {k for m, k in units if m == n}
            t = "\n".join(line for line in c.predictors[n].instructions.split("\n") if key_of(line) not in gone)
            c = self.with_text(c, n, t)
        return c

    def halves(self, inc, fresh, bad, pairs):
        out = []
        rng = self.search.rng("split", self.round)
        for i in range(int(pairs)):
            sets = [dict(bad), dict(bad)]
            for n in self.names:
                new = list(additions(inc.predictors[n].instructions, merged(inc.predictors[n].instructions, fresh[n], earlier=self.pool[n], topic_of=self.topic)))
                old = [k for k in lines_of(inc.predictors[n].instructions) if k not in lines_of(self.search.start.predictors[n].instructions)]
                rng.shuffle(new); rng.shuffle(old)
                h = len(new) // 2; o = len(old) // 4
                sets[0][n] = sets[0].get(n, frozenset()) | set(new[:h]) | set(old[:o])
                sets[1][n] = sets[1].get(n, frozenset()) | set(new[h:]) | set(old[o:2 * o])
            for x in sets: out.append(self.enter(self.merge(inc, fresh, x), f"round {self.round}: half"))
        return out

    async def race(self, entries, rows, looks):
        r = await Race(looks=tuple(looks)).run(self.practice, entries, rows)
        self.saved += r.saved
        return r

    def accept(self, e):
        if e.candidate.digest() == self.incumbent.candidate.digest(): return
        for n in self.names:
            if edit_of(self.incumbent.candidate.predictors[n].instructions, e.candidate.predictors[n].instructions) is None:
                self.pool[n] = []
        self.incumbent = e
        self.past.append(e)

    # ---- proposals
    async def ask(self, K):
        inc = self.base
        lessons = [Lesson(r, self.practice.record(inc.candidate, r.example)) for r in self.demos.rows]
        say(f"round {self.round}: {inc.origin} {inc.characters}c run {sum(l.record is not None for l in lessons)} failed {sum(l.failed for l in lessons)}")
        fresh = {n: [] for n in self.names}; rewrites = []
        if not K or not self.names: return fresh, rewrites
        asks = []
        for k in range(K):
            n = self.names[k % len(self.names)]
            ex = self.reader.batch(n, lessons, self.auto.shown, 2, batches=max(1, K // len(self.names)))
            if ex: asks.append(Ask(predictor=n, current=inc.candidate.predictors[n].instructions, examples=ex, rollout=sample_of(self.search, self.round, k)))
        for p in await self.proposer.propose(asks):
            n = p.ask.predictor
            e = edit_of(p.ask.current, p.instruction)
            if e is not None and (e.added or e.dropped):
                ids = [one.row.id for one in p.ask.examples]
                about = frozenset(k for k, line in lines_of(p.ask.current).items() if any(self.grounding.concerns(line, i) for i in ids))
                fresh[n].append(msgspec.structs.replace(e, about=about))
            if e is None or len(rewrites) < 4: rewrites.append(self.enter(self.proposer.candidate(inc.candidate, p), f"round {self.round}: proposal"))
        return fresh, rewrites

    def topic(self, line):
        t = self.grounding.topic(line)
        return t if t and self.grounding.statement(line) else None
    def bad(self, n, w):
        per = w["<length>"].mean if "<length>" in w else 0
        return frozenset(pk[1] for pk, worth in w.items() if pk != "<length>" and pk[0] == n and worth.mean + per * 6 * len(pk[1]) / K_["len"] + K_["z"] * worth.spread < 0)

    def merge(self, c, fresh, unwanted, names=None):
        for n in names or self.names:
            base = self.base.candidate.predictors[n].instructions
            t = merged(base, fresh[n], earlier=self.pool[n], unwanted=unwanted.get(n, frozenset()), topic_of=self.topic)
            if t and len(t) <= LONGEST_INSTRUCTION: c = self.with_text(c, n, t)
        return c

    def arms(self, fresh, rewrites, room):
        inc, base = self.incumbent.candidate, self.base.candidate
        w = self.worths()
        bad = {n: self.bad(n, w) for n in self.names}
        R = f"round {self.round}: "
        full = self.merge(inc, fresh, bad)   # merged text with the incumbent's demos
        out = []
        has = full.digest() != inc.digest()
        md = self.auto.max_demos
        if has: out.append(self.enter(full, R + "merge"))
        if self.demos.count(inc) and has: out.append(self.enter(self.demos.without(full), R + "merge, no demos"))
        if len(self.names) > 1 and has:
            for n in self.names: out.append(self.enter(self.merge(inc, fresh, bad, [n]), R + f"merge {n}"))
        if md and has: out.append(self.enter(self.demos.covering(full, md) if not self.demos.count(inc) else self.redemo(full, base), R + "merge+demos"))
        if md: out.append(self.enter(self.demos.covering(inc, md), R + "demos"))
        singles = rewrites
        if self.demos.count(inc): out.append(self.enter(self.demos.without(inc), R + "no demos"))
        if md >= 4: out.append(self.enter(self.demos.covering(inc, md // 4), R + "few demos"))
        out = out[:4] + singles[:1] + out[4:] + singles[1:]
        return (out[0] if has else None), [e for e in distinct(out) if e.candidate.digest() != inc.digest()][:room]

    def redemo(self, full, inc):
        # demos for what the incumbent fails
        c = self.demos.covering(inc, self.auto.max_demos)
        for n in full.predictors:
            full = full.with_predictor(n, msgspec.structs.replace(full.predictors[n], demos=c.predictors[n].demos))
        return full

    def screened(self, base, fresh, w):
        if not w: return None
        c = base
        for n in self.names:
            text = base.predictors[n].instructions
            bad = self.bad(n, w)
            t = merged(text, [], earlier=[*self.pool[n], *fresh[n]], unwanted=bad, topic_of=self.topic)
            if t and len(t) <= LONGEST_INSTRUCTION: c = self.with_text(c, n, t)
        if c.digest() in self.candidates or c.digest() == base.digest(): return None
        say("   screened: lines", {n: (len(lines_of(base.predictors[n].instructions)), len(lines_of(c.predictors[n].instructions))) for n in self.names}, "bad", len(bad))
        return self.enter(c, f"round {self.round}: screened")
