// A Pub/Sub emulator: the fake of Google's own Go client as a program. It prints its address and ends when
// its standard input does.
package main

import (
	"fmt"
	"io"
	"io/ioutil"
	"os"

	"cloud.google.com/go/pubsub/pstest"
)

func main() {
	server := pstest.NewServer()
	fmt.Println(server.Addr)
	io.Copy(ioutil.Discard, os.Stdin)
	server.Close()
}
