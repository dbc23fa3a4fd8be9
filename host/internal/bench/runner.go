package bench

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"
)

// Row is what a contender did in all rounds.
type Row struct {
	Name    string
	Missing string    // why it took no part; "" when it did
	Rounds  []Measure // one for each, in order
}

// Result is the outcome of a case.
type Result struct {
	Case Case
	Rows []Row // in the order of the contenders; none when Err is set
	Err  error // what kept the case from its end
}

// MinRounds is how many rounds a ratio needs to be worth publishing.
const MinRounds = 5

// Run has the contenders of each case do their work in turn, in a first round that
// is not recorded and then in as many as rounds says. Every other round goes from the
// last contender to the first, so that none always follows the same one. A case that
// fails is in its result, and in the error; the others run all the same, unless ctx
// has ended. Report, which may be nil, is told what is going on.
func Run(ctx context.Context, g *Ground, cases []Case, rounds int, report func(string)) ([]Result, error) {
	if report == nil {
		report = func(string) {}
	}
	var results []Result
	var failed []error
	for _, c := range cases {
		r := &race{ctx: ctx, name: c.Name, report: report}
		rows, err := r.run(g, c, rounds)
		if err != nil {
			err = fmt.Errorf("bench %s: %w", c.Name, err)
			rows = nil
			failed = append(failed, err)
		}
		results = append(results, Result{c, rows, err})
		if ctx.Err() != nil {
			break
		}
	}
	return results, errors.Join(failed...)
}

// race is a case under way.
type race struct {
	ctx        context.Context
	name       string
	report     func(string)
	contenders []Contender
	rows       []Row
}

func (r *race) run(g *Ground, c Case, rounds int) (rows []Row, err error) {
	r.report(c.Name + ": setting up")
	defer func() { err = errors.Join(err, g.endCase()) }()
	if r.contenders, err = c.Contenders(r.ctx, g); err != nil {
		return nil, err
	}
	for _, one := range r.contenders {
		r.rows = append(r.rows, Row{Name: one.Name, Missing: one.Missing})
		if one.Missing != "" {
			r.report(fmt.Sprintf("%s: without %s: %s", c.Name, one.Name, one.Missing))
		}
	}
	for round := range rounds + 1 {
		if err := r.round(round); err != nil {
			return nil, err
		}
	}
	return r.rows, nil
}

// round has each contender do the work once. Round 0 warms up.
func (r *race) round(number int) error {
	order := make([]int, 0, len(r.contenders))
	for i, c := range r.contenders {
		if c.Missing == "" {
			order = append(order, i)
		}
	}
	if number%2 == 1 {
		slices.Reverse(order)
	}
	for _, i := range order {
		m, err := r.once(r.contenders[i])
		if err != nil {
			return fmt.Errorf("%s: %w", r.contenders[i].Name, err)
		}
		if number == 0 {
			continue
		}
		r.rows[i].Rounds = append(r.rows[i].Rounds, m)
		r.report(fmt.Sprintf("%s: round %d: %s: %s", r.name, number, r.contenders[i].Name, span(m.Took)))
	}
	return nil
}

func (r *race) once(c Contender) (Measure, error) {
	if err := r.ctx.Err(); err != nil {
		return Measure{}, err
	}
	if c.Before != nil {
		if err := c.Before(r.ctx); err != nil {
			return Measure{}, fmt.Errorf("prepare: %w", err)
		}
	}
	return c.Run(r.ctx)
}

// timed measures how long work takes, and moves bytes.
func timed(bytes int64, work func() error) (Measure, error) {
	start := time.Now()
	err := work()
	return Measure{Took: time.Since(start), Bytes: bytes}, err
}
