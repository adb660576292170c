// Package testing is what tests of functions use of Go's own: reports and subtests, one after the other. It reads a
// third of the packages. A program that asks for more does not compile with it, and gets Go's own.
package testing

import (
	"fmt"
	"os"
	"runtime"
	"sync"
)

// TB is a test, as helpers take it.
type TB interface {
	Error(values ...interface{})
	Errorf(format string, values ...interface{})
	Fail()
	FailNow()
	Failed() bool
	Fatal(values ...interface{})
	Fatalf(format string, values ...interface{})
	Helper()
	Log(values ...interface{})
	Logf(format string, values ...interface{})
	Name() string
}

// T is a test or a subtest.
type T struct {
	name   string
	parent *T
	guard  sync.Mutex
	failed bool
	over   bool // returned, or left by FailNow
}

var _ TB = (*T)(nil)

func (t *T) Name() string { return t.name }

func (t *T) Helper() {}

func (t *T) Log(values ...interface{}) { fmt.Printf("%s: %s", t.name, fmt.Sprintln(values...)) }

func (t *T) Logf(format string, values ...interface{}) { t.Log(fmt.Sprintf(format, values...)) }

func (t *T) Fail() {
	for each := t; each != nil; each = each.parent {
		each.guard.Lock()
		each.failed = true
		each.guard.Unlock()
	}
}

func (t *T) FailNow() {
	t.Fail()
	t.over = true
	runtime.Goexit()
}

func (t *T) Failed() bool {
	t.guard.Lock()
	defer t.guard.Unlock()
	return t.failed
}

func (t *T) Error(values ...interface{}) {
	t.Log(values...)
	t.Fail()
}

func (t *T) Errorf(format string, values ...interface{}) {
	t.Logf(format, values...)
	t.Fail()
}

func (t *T) Fatal(values ...interface{}) {
	t.Log(values...)
	t.FailNow()
}

func (t *T) Fatalf(format string, values ...interface{}) {
	t.Logf(format, values...)
	t.FailNow()
}

// Run says whether a subtest passed. One that is left by runtime.Goexit has not.
func (t *T) Run(name string, f func(t *T)) bool {
	inner := &T{name: name, parent: t}
	if t.name != "" {
		inner.name = t.name + "/" + name
	}
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		defer func() {
			if !inner.over {
				inner.Fail()
			}
		}()
		f(inner)
		inner.over = true
	}()
	<-ended
	return !inner.Failed()
}

// InternalTest is a test by its name.
type InternalTest struct {
	Name string
	F    func(*T)
}

// Main runs the tests and ends the process; what Go's own takes besides is not there.
func Main(_ func(pattern, name string) (bool, error), tests []InternalTest, _, _ []struct{}) {
	all := &T{}
	for _, each := range tests {
		all.Run(each.Name, each.F)
	}
	if all.Failed() {
		os.Exit(1)
	}
	os.Exit(0)
}
