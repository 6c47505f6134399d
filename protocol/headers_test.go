package protocol

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestHeadersOfAnyShape(t *testing.T) {
	credential := strings.Repeat("c", MaxCredential)
	for _, tc := range []struct {
		name, in string
		want     Headers
	}{
		{"empty auth", `{"auth":{}}`, Headers{Auth: &Auth{}}},
		{"both", `{"auth":{"user":"u","password":"p"}}`, credentials("u", "p")},
		{"user only", `{"auth":{"user":"u"}}`, Headers{Auth: &Auth{User: "u", HasUser: true}}},
		{"empty strings are present", `{"auth":{"user":"","password":""}}`, credentials("", "")},
		{"null in it", `{"auth":{"user":null,"password":"p"}}`, Headers{Auth: &Auth{Password: "p", HasPassword: true}}},
		{"numbers in it", `{"auth":{"user":5,"password":[]}}`, Headers{Auth: &Auth{}}},
		{"objects in it", `{"auth":{"user":{"user":"u"},"password":true}}`, Headers{Auth: &Auth{}}},
		{"other fields in it", `{"auth":{"token":"t","User":"u"}}`, Headers{Auth: &Auth{}}},
		{"as long as may be", `{"auth":{"user":"` + credential + `"}}`, Headers{Auth: &Auth{User: credential, HasUser: true}}},
		{"too long", `{"auth":{"user":"` + credential + `c","password":"` + credential + `\n"}}`, Headers{Auth: &Auth{}}},
		{"half a pair", `{"auth":{"user":"\ud800","password":"a\udc00b"}}`, Headers{Auth: &Auth{}}},
		{"escapes", `{"auth":{"user":"\u00fc\ud83d\ude00","password":"\"\\"}}`, credentials("ü😀", `"\`)},
		{"the last auth is null", `{"auth":{"user":"u"},"auth":null}`, Headers{}},
		{"the last password is invalid", `{"auth":{"password":"p","password":0}}`, Headers{Auth: &Auth{}}},
		{"empty offer", `{"mesh":{}}`, Headers{Mesh: &Hello{}}},
		{"offer", `{"mesh":{"v":1,"key":"k","name":"n","more":[1]}}`, Headers{Mesh: &Hello{V: 1, Key: "k", Name: "n"}}},
		{"offer to move", `{"mesh":{"v":1,"key":"k","moves":true}}`, Headers{Mesh: &Hello{V: 1, Key: "k", Moves: true}}},
		{"invalid offers to move", `{"mesh":{"v":1,"moves":true,"moves":"true"}}`, Headers{Mesh: &Hello{V: 1}}},
		{"numbered connection", `{"mesh":{"v":1,"key":"k","conn":9007199254740991,"beside":true}}`, Headers{Mesh: &Hello{V: 1, Key: "k", Conn: 1<<53 - 1, Beside: true}}},
		{"connections without a number", `{"mesh":{"v":1,"conn":"2","conn":9007199254740992,"beside":1}}`, Headers{Mesh: &Hello{V: 1}}},
		{"later version", `{"mesh":{"v":20}}`, Headers{Mesh: &Hello{V: 20}}},
		{"version of the wrong type", `{"mesh":{"v":"1","key":1,"name":{}}}`, Headers{Mesh: &Hello{}}},
		{"version with a fraction", `{"mesh":{"v":1.0}}`, Headers{Mesh: &Hello{}}},
		{"version with an exponent", `{"mesh":{"v":1e1}}`, Headers{Mesh: &Hello{}}},
		{"version beyond any", `{"mesh":{"v":99999999999999999999}}`, Headers{Mesh: &Hello{}}},
		{"the last version is invalid", `{"mesh":{"v":1,"v":null}}`, Headers{Mesh: &Hello{}}},
		{"key and name too long", `{"mesh":{"v":1,"key":"` + strings.Repeat("k", MaxKey+1) + `","name":"` + strings.Repeat("n", MaxName+1) + `"}}`, Headers{Mesh: &Hello{V: 1}}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			got, err := Parse([]byte(`{"event":"x","headers":` + tc.in + `}`))
			require.NoError(t, err)
			require.Equal(t, tc.want, got.Headers)
		})
	}
}
