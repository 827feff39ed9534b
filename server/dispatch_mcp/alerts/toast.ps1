# Shows a notification of Windows; both texts come as base64, so that neither can be code.
$d = [Text.Encoding]::UTF8.GetString([Convert]::FromBase64String('HEADING'))
$t = [Text.Encoding]::UTF8.GetString([Convert]::FromBase64String('LINE'))
[Windows.UI.Notifications.ToastNotificationManager,Windows.UI.Notifications,ContentType=WindowsRuntime] | Out-Null
$x = [Windows.UI.Notifications.ToastNotificationManager]::GetTemplateContent(1)
$n = $x.GetElementsByTagName('text')
$n.Item(0).AppendChild($x.CreateTextNode($d)) | Out-Null
$n.Item(1).AppendChild($x.CreateTextNode($t)) | Out-Null
$a = '{1AC14E77-02E7-4E5D-B744-2EB1AE5198B7}\\WindowsPowerShell\\v1.0\\powershell.exe'
$m = [Windows.UI.Notifications.ToastNotificationManager]::CreateToastNotifier($a)
$m.Show([Windows.UI.Notifications.ToastNotification]::new($x))
