package cluster

import (
	"fmt"
	"math/rand/v2"
	"testing"
	"time"
)

// chaos is faults at random: cuts of all kinds, deaths, restarts and bad weather.
type chaos struct {
	*world
	chance *rand.Rand
	change func(*Options)
	least  int // nodes that must run
}

func (c *chaos) some(n int) int { return c.chance.IntN(n) }

func (c *chaos) span(most time.Duration) time.Duration {
	return time.Duration(c.chance.Int64N(int64(most)))
}

// step does something to the cluster and says what.
func (c *chaos) step() string {
	i, j := c.some(5), c.some(5)
	switch c.some(10) {
	case 0:
		what := []simCut{cutPackets, cutStreams, cutAll}[c.some(3)]
		c.oneWay([]int{i}, []int{j}, what)
		return fmt.Sprintf("cut %d from %d to %d", what, i+1, j+1)
	case 1:
		c.part([]int{i}, []int{j}, cutAll)
		return fmt.Sprintf("cut %d and %d", i+1, j+1)
	case 2:
		a, b := []int{}, []int{}
		for k := range 5 {
			if c.some(2) == 0 {
				a = append(a, k)
			} else {
				b = append(b, k)
			}
		}
		c.part(a, b, cutAll)
		return fmt.Sprintf("split %v %v", a, b)
	case 3, 4:
		c.calm()
		return "heal"
	case 5:
		c.net.become(weather{delay: c.span(20 * time.Millisecond), jitter: 1 + c.span(100*time.Millisecond), loss: c.chance.Float64() / 4,
			double: c.chance.Float64() / 10, late: c.chance.Float64() / 5})
		return "bad weather"
	case 6, 7:
		if n := c.nodes[i]; n == nil || n.over() {
			c.start(i, 5, c.change)
			return fmt.Sprintf("start %d", i+1)
		}
		if len(c.live()) <= c.least {
			return "nothing"
		}
		if c.some(2) == 0 {
			c.kill(i)
			return fmt.Sprintf("kill %d", i+1)
		}
		c.fell(i)
		return fmt.Sprintf("fell %d", i+1)
	}
	c.net.sever(hostOf(i), hostOf(j))
	return fmt.Sprintf("reset %d and %d", i+1, j+1)
}

// calm ends all that the network does.
func (c *chaos) calm() {
	all := []int{0, 1, 2, 3, 4}
	c.part(all, all, 0)
	c.net.become(weather{delay: time.Millisecond, jitter: time.Millisecond})
}

// Whatever happened: when it ends there is one table of all who run, soon; terms only grew; under quorum no two ever acted as
// owners of one partition.
func TestSimChaos(t *testing.T) {
	seeds := uint64(2)
	if h := simHours(); h > 0 {
		seeds = uint64(50 * h)
	}
	for _, policy := range []string{Available, Quorum} {
		for seed := *simSeed; seed < *simSeed+seeds; seed++ {
			t.Run(fmt.Sprintf("%s %d", policy, seed), func(t *testing.T) {
				simulate(t, func(w *world) {
					w.net.seed = seed
					c := &chaos{world: w, chance: rand.New(rand.NewPCG(seed, 2)), change: func(*Options) {}, least: 1}
					if policy == Quorum {
						c.change, c.least = quorate, 4
					}
					c.form(5, c.change)
					if policy == Quorum {
						defer c.watch()()
					}
					for round := range 3 {
						for range 2 + c.some(6) {
							w.story = append(w.story, fmt.Sprintf("%v %s", time.Since(w.began), c.step()))
							time.Sleep(c.span(15 * time.Second))
						}
						w.story = append(w.story, fmt.Sprintf("%v calm", time.Since(w.began)))
						c.calm()
						for i := range 5 {
							if n := c.nodes[i]; n == nil || n.over() {
								c.start(i, 5, c.change)
							}
						}
						w.within(30*time.Second, fmt.Sprintf("one table after round %d", round+1), w.whole)
						if policy == Available {
							w.within(90*time.Second, "partitions in place", w.placed)
						}
						time.Sleep(c.span(30 * time.Second))
					}
					w.checkOrder()
				})
			})
		}
	}
}
