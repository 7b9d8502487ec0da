/* Requests that openssl req made; the keys behind them protect nothing. */
#ifndef CS_TEST_CSR_FIXTURES_H
#define CS_TEST_CSR_FIXTURES_H

static const char csr_good[] = "-----BEGIN CERTIFICATE REQUEST-----\n"
                               "MIIBKTCB0AIBADASMRAwDgYDVQQDDAdwdW1wLTE3MFkwEwYHKoZIzj0CAQYIKoZI\n"
                               "zj0DAQcDQgAEwddMJu4OpzJIN/0Mu/RI6V5YSKIQ/B9Y11CMltYUg3SZMI/6gvys\n"
                               "lxGmJnUvO7o1661Zw2gif24CFNZWDl7C6qBcMFoGCSqGSIb3DQEJDjFNMEswJwYD\n"
                               "VR0RBCAwHoIJYS5leGFtcGxlhwQKAAAFgQthQGIuZXhhbXBsZTALBgNVHQ8EBAMC\n"
                               "B4AwEwYDVR0lBAwwCgYIKwYBBQUHAwIwCgYIKoZIzj0EAwIDSAAwRQIgUnwJvegs\n"
                               "9jJcyS3T+b+cWGVUZ9hPmTPMVDw4zf/uc5ECIQD8dSiUgRjnRoY9qJ2lDN6HqvgP\n"
                               "gqe/JOFowqA2IB898Q==\n"
                               "-----END CERTIFICATE REQUEST-----\n";

static const char csr_ca[] = "-----BEGIN CERTIFICATE REQUEST-----\n"
                             "MIHmMIGOAgEAMA0xCzAJBgNVBAMMAmNhMFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcD\n"
                             "QgAEwddMJu4OpzJIN/0Mu/RI6V5YSKIQ/B9Y11CMltYUg3SZMI/6gvyslxGmJnUv\n"
                             "O7o1661Zw2gif24CFNZWDl7C6qAfMB0GCSqGSIb3DQEJDjEQMA4wDAYDVR0TBAUw\n"
                             "AwEB/zAKBggqhkjOPQQDAgNHADBEAiAz86XYBARAuO5iRDB6uuDLiA0QPf3S0Sji\n"
                             "M/TMlaYndQIgdG3BdFyIMsE9yu20PCS/N32vkrPlL6+1G0ItyymMxc4=\n"
                             "-----END CERTIFICATE REQUEST-----\n";

static const char csr_ku[] = "-----BEGIN CERTIFICATE REQUEST-----\n"
                             "MIHlMIGNAgEAMA0xCzAJBgNVBAMMAmNhMFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcD\n"
                             "QgAEwddMJu4OpzJIN/0Mu/RI6V5YSKIQ/B9Y11CMltYUg3SZMI/6gvyslxGmJnUv\n"
                             "O7o1661Zw2gif24CFNZWDl7C6qAeMBwGCSqGSIb3DQEJDjEPMA0wCwYDVR0PBAQD\n"
                             "AgIEMAoGCCqGSM49BAMCA0cAMEQCIBJfqdGDvdip0HAXh/dGxiKQFU2sF7bk7Lla\n"
                             "6KRFD16xAiAO8cia8TC5qY5lFHBiaajUDaTkTXfqgHjdSf8Hp9Jk3A==\n"
                             "-----END CERTIFICATE REQUEST-----\n";

static const char csr_sha1[] = "-----BEGIN CERTIFICATE REQUEST-----\n"
                               "MIHHMHECAQAwDzENMAsGA1UEAwwEc2hhMTBZMBMGByqGSM49AgEGCCqGSM49AwEH\n"
                               "A0IABMHXTCbuDqcySDf9DLv0SOleWEiiEPwfWNdQjJbWFIN0mTCP+oL8rJcRpiZ1\n"
                               "Lzu6NeutWcNoIn9uAhTWVg5ewuqgADAJBgcqhkjOPQQBA0cAMEQCICVJq6yEBDcv\n"
                               "0qCkp1ptIfS2wH4txGN9ii0dsDfssrbtAiBcRkE6WgBDV2pfYVG3DsHhJdlsh3Ge\n"
                               "MiktsGJUjXfNBg==\n"
                               "-----END CERTIFICATE REQUEST-----\n";

static const char csr_weak[] = "-----BEGIN CERTIFICATE REQUEST-----\n"
                               "MIIBTjCBuAIBADAPMQ0wCwYDVQQDDAR3ZWFrMIGfMA0GCSqGSIb3DQEBAQUAA4GN\n"
                               "ADCBiQKBgQDB60Oh4ubl8jWd2sMBtPUmQJMoVOKVtSA7dY20JzK/wiiMXwqyohYD\n"
                               "tqEcl6O32P1a4M+oYHnG+RGnLm6MY6We8cuwqcjetfPuqOv6GzO4I6/PDJJFx0H9\n"
                               "VFRbeMOT2GKEjGlD6wFDJTaFL51nTaG4RLqqXE2LDXLcFwdcfCVPOQIDAQABoAAw\n"
                               "DQYJKoZIhvcNAQELBQADgYEAQ0DkCZqp3PBgQFgy9oD4lti1MeXg/WEdTkmR4Su3\n"
                               "/fRCMnZQr+bnurqxQgxgUlQ+xdgrkdiRFTEG5+FeXf++wkyruq4ammtYlM9QNFzn\n"
                               "qAlOwD6TcJfx+1loYwhpvgz/3xfPIHtZakfvz5CZT6nVfpjse3RiqUPfcJnSQigP\n"
                               "4b4=\n"
                               "-----END CERTIFICATE REQUEST-----\n";

static const char csr_k1[] = "-----BEGIN CERTIFICATE REQUEST-----\n"
                             "MIHEMGwCAQAwDTELMAkGA1UEAwwCazEwVjAQBgcqhkjOPQIBBgUrgQQACgNCAARm\n"
                             "mBUL6lMXTchxaTnpmHUP1ZZUREY8NsMgtSHvXK19GFqzM1TyAyIqKKyzZh0Ggcff\n"
                             "FaJFaxs4WoEtR15ev/OeoAAwCgYIKoZIzj0EAwIDSAAwRQIhALStzx+MWAXDWlWl\n"
                             "xYzmve5oYO2Nkvs/kH4oQoB0XQgkAiBJaUOYxewcNdQxGk9LZjTEGigv9ZdG3fKu\n"
                             "WEnX+L/fGQ==\n"
                             "-----END CERTIFICATE REQUEST-----\n";

static const char csr_challenge[] = "-----BEGIN CERTIFICATE REQUEST-----\n"
                                    "MIHmMIGNAgEAMA8xDTALBgNVBAMMBHNjZXAwWTATBgcqhkjOPQIBBggqhkjOPQMB\n"
                                    "BwNCAATB10wm7g6nMkg3/Qy79EjpXlhIohD8H1jXUIyW1hSDdJkwj/qC/KyXEaYm\n"
                                    "dS87ujXrrVnDaCJ/bgIU1lYOXsLqoBwwGgYJKoZIhvcNAQkHMQ0MC3Nlc2FtZS1v\n"
                                    "cGVuMAoGCCqGSM49BAMCA0gAMEUCIF9NbFgxTG8Urlqgz0eAGnPVtjiiMfnyfJGp\n"
                                    "0YBjdz21AiEA3bwibeB/SEmbt0WsvDbnuwArv6z9fqP568LjBqIh4i0=\n"
                                    "-----END CERTIFICATE REQUEST-----\n";

static const char csr_pss[] = "-----BEGIN CERTIFICATE REQUEST-----\n"
                              "MIIChzCCATsCAQAwDjEMMAoGA1UEAwwDcHNzMIIBIjANBgkqhkiG9w0BAQEFAAOC\n"
                              "AQ8AMIIBCgKCAQEAvWo71sVrliOKlrrQbWRaidPhns63zRgakpwV2IMIZljARCVv\n"
                              "nXgkInxwUFDceF4EFD+3hSsM6R+b1bsYbQt/oS0gwMwUcScr9RkW8IwwqK4GNYKW\n"
                              "pVCpZrvG1+4mGxq/ubIWs3u6XFivXnOnZQ2ACFbyNrSDWkk3RWO+rhXgorn+QVYt\n"
                              "6WQydPbpHKXYg7yURRJTEwyfcUbNhg9FL2hcxXyLVppOOVB/RApM55vFipscfzjo\n"
                              "CpPnbHVJ6fvNf32qEI0vL2IrXk7eE9sw0qyOzZoTbq+lC6YOWUgqISNgtw0Ok7MK\n"
                              "MCpH2hl5jHrV8BK54xaj8ErrsMpmyphBrZdAoQIDAQABoAAwQQYJKoZIhvcNAQEK\n"
                              "MDSgDzANBglghkgBZQMEAgEFAKEcMBoGCSqGSIb3DQEBCDANBglghkgBZQMEAgEF\n"
                              "AKIDAgEgA4IBAQCqf/rQhEjlGzTKEfBBOMd6W7rCKDaLjYVFMj0TobDSew+wH9pm\n"
                              "3eorn/FXLXWTcqAVeq20Cd3otElrqsHGYVdoqIF1LBFKvpfFO2spQDWTDYDdvRL0\n"
                              "lc0VROADFtXzDY6K59m7WtMy4CfMRfA0IZ74IlvR+ADgtaPyvYGX955t//x0WVl1\n"
                              "dHq8NeUVdnFUqK0YZGjziakJBpT5TqdXuhmR1LtcuU2ebHxv21nCa+6gP5VttcmX\n"
                              "Ma1Q7stuQ4TuMn3Imqp9+ZdqMqUUy1BrPtMQtpJMhsg3yaeS0f8EDWB+imR8g6Mc\n"
                              "F4CUxxBHLA40yQVn8npDWFaVxvXWEaVUAZ09\n"
                              "-----END CERTIFICATE REQUEST-----\n";

#endif
