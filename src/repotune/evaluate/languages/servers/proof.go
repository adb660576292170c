// Package proof runs the tests of a program as `go test` does, and then says that they are over.
package proof

import (
	"fmt"
	"testing"
)

// Test is a test by its name.
type Test = testing.InternalTest

// Run does not return: testing.Main ends the process, so the proof is the last of the tests. That one before it has
// failed is in the exit status.
func Run(secret string, tests ...Test) {
	every := func(pattern, name string) (bool, error) { return true, nil }
	last := Test{Name: "Proof", F: func(*testing.T) { fmt.Println("\n" + secret) }}
	testing.Main(every, append(tests, last), nil, nil)
}
